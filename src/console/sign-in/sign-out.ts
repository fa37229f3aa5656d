import { client } from "../api.ts";
import { complain } from "../ui/notify.ts";

/** Ends the sign-in, of this browser or of all, and that at the identity provider, too. */
export async function signOut({ everywhere }: { everywhere: boolean }): Promise<void> {
  try {
    const { sign_out_url: next } = await client.auth.signOut({ everywhere });
    // A whole load: nothing of the user stays in memory.
    location.assign(next ?? "/");
  } catch (error) {
    await complain("You are still signed in", error);
  }
}
