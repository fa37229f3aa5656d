import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import type {
  SignInLocalInput,
  SignInLocalOutput,
  SignOutInput,
  SignOutOutput,
  WebSessionOutput,
} from "../generated/types.gen.js";
import { Resource } from "./resource.js";

/** For pages of the service itself, which are signed in by its cookie instead of a token. */
export class Auth extends Resource {
  /** Who is signed in, how to sign in, and the `csrfToken` of the client's options. */
  session(options?: RequestOptions): APIPromise<WebSessionOutput> {
    return this.request(options, (init) => this.api.handlersAuthSession(init));
  }

  /** Signs in with the code of a link, which is valid once. */
  signInLocal(params: SignInLocalInput, options?: RequestOptions): APIPromise<SignInLocalOutput> {
    return this.request(options, (init) => this.api.handlersAuthSignInLocal({ body: params, ...init }));
  }

  /** Signs out. With a `sign_out_url`, send the browser there: it ends the identity provider's session as well. */
  signOut(params?: SignOutInput, options?: RequestOptions): APIPromise<SignOutOutput> {
    return this.request(options, (init) => this.api.handlersAuthSignOut({ body: params ?? {}, ...init }));
  }
}
