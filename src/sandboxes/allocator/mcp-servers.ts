/**
 * The servers that an MCP configuration names, as `host:port`: what an agent of a borrowed sandbox must be able to reach. A
 * server that is a program has no address of its own, and needs EGRESS_ALLOW for what it connects to.
 */
export function mcpServers(config: string): string[] {
  const servers = serversIn(config).flatMap(({ url }) =>
    typeof url === "string" ? (targetOf(url) ?? []) : [],
  );
  return [...new Set(servers)];
}

function serversIn(config: string): { url?: unknown }[] {
  try {
    const { mcpServers: servers } = JSON.parse(config) as { mcpServers?: Record<string, { url?: unknown }> };
    return Object.values(servers ?? {});
  } catch {
    // Claude Code reports it better.
    return [];
  }
}

function targetOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { hostname, port, protocol } = new URL(text);
  return `${hostname}:${port || (/^(https|wss):$/.test(protocol) ? 443 : 80)}`;
}
