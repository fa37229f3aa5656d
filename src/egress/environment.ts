/**
 * The variables that lead programs to a gateway. Programs disagree about which of them they read, and in which case.
 * @param port of the gateway on the loopback that the program sees.
 */
export function gatewayEnvironment(port: number): Readonly<Record<string, string>> {
  const http = `http://127.0.0.1:${port}`;
  const direct = "127.0.0.1,localhost";
  return {
    HTTP_PROXY: http,
    HTTPS_PROXY: http,
    http_proxy: http,
    https_proxy: http,
    ALL_PROXY: `socks5h://127.0.0.1:${port}`,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node.js reads the others only with this one.
    NODE_USE_ENV_PROXY: "1",
  };
}
