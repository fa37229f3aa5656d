import rapidocJs from "rapidoc/dist/rapidoc-min.js" with { type: "file" };
import swaggerUiCss from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerUiJs from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };

/** Files of packages that the pages load, by path. The build embeds them, as they are and compressed. */
export const PACKAGE_FILES = { rapidocJs, swaggerUiCss, swaggerUiJs };
