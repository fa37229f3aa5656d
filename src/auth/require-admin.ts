import { AppError } from "../shared/errors.ts";
import type { User } from "./claims.ts";

/** @throws AppError `admin_required` */
export function requireAdmin({ roles }: User): void {
  if (!roles.includes("admin"))
    throw new AppError("admin_required", "Only users with the role admin may do this.");
}
