/**
 * The variables that lead programs to a gateway. Programs disagree about which of them they read, and in which case.
 * @param options.port of the gateway on the loopback that the program sees.
 * @param options.hostLoopback whether loopback addresses are those of the host, which only the gateway reaches; else they are
 * the program's own, as a development server's is.
 */
export function gatewayEnvironment(options: {
  port: number;
  hostLoopback: boolean;
}): Readonly<Record<string, string>> {
  const { port, hostLoopback } = options;
  const http = `http://127.0.0.1:${port}`;
  const direct = hostLoopback ? `127.0.0.1:${port}` : "127.0.0.1,localhost";
  return {
    HTTP_PROXY: http,
    HTTPS_PROXY: http,
    http_proxy: http,
    https_proxy: http,
    // Not SOCKS: Python's httpx, and so the SDKs of models, ends with an error at such an address.
    ALL_PROXY: http,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node.js reads the others only with this one.
    NODE_USE_ENV_PROXY: "1",
  };
}
