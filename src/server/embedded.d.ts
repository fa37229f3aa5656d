// Files that the bundler embeds: our own as text, those of packages as a path.
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.start.js" {
  const text: string;
  export default text;
}
declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  const path: string;
  export default path;
}
declare module "swagger-ui-dist/swagger-ui.css" {
  const path: string;
  export default path;
}
declare module "rapidoc/dist/rapidoc-min.js" {
  const path: string;
  export default path;
}
