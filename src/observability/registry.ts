import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Makes metrics of one registry; names get the prefix `prompt_backend_`. */
export function createRegistry(helpSuffix = "") {
  const registry = new Registry();
  const options = <L extends string>(name: string, help: string, labelNames: L[]) => ({
    name: `prompt_backend_${name}`,
    help: `${help}${helpSuffix}`,
    labelNames,
    registers: [registry],
  });
  return {
    registry,
    counter: <L extends string>(name: string, help: string, ...labels: L[]) =>
      new Counter(options(name, help, labels)),
    /** @param buckets in seconds. */
    histogram: <L extends string>(name: string, help: string, buckets: number[], ...labels: L[]) =>
      new Histogram({ ...options(name, help, labels), buckets }),
    gauge: <L extends string>(name: string, help: string, ...labels: L[]) =>
      new Gauge(options(name, help, labels)),
  };
}
