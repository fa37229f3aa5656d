import first from "../../drizzle/0000_first.sql" with { type: "text" };
import liveAndLimits from "../../drizzle/0001_live_and_limits.sql" with { type: "text" };
import cancelAndFailures from "../../drizzle/0002_cancel_and_failures.sql" with { type: "text" };
import branchOfItsUser from "../../drizzle/0003_branch_of_its_user.sql" with { type: "text" };
import closedSandboxes from "../../drizzle/0004_closed_sandboxes.sql" with { type: "text" };
import agentMemory from "../../drizzle/0005_agent_memory.sql" with { type: "text" };
import workIsData from "../../drizzle/0006_work_is_data.sql" with { type: "text" };
import eventTicket from "../../drizzle/0007_event_ticket.sql" with { type: "text" };
import waiting from "../../drizzle/0008_waiting.sql" with { type: "text" };
import workOfAMachine from "../../drizzle/0009_work_of_a_machine.sql" with { type: "text" };
import startOfAPrompt from "../../drizzle/0010_start_of_a_prompt.sql" with { type: "text" };
import provenance from "../../drizzle/0011_provenance.sql" with { type: "text" };
import effects from "../../drizzle/0012_effects.sql" with { type: "text" };
import comment from "../../drizzle/0013_comment.sql" with { type: "text" };
import syncPrompts from "../../drizzle/0014_sync_prompts.sql" with { type: "text" };
import pullRequest from "../../drizzle/0015_pull_request.sql" with { type: "text" };
import forgeWebhooks from "../../drizzle/0016_forge_webhooks.sql" with { type: "text" };
import unread from "../../drizzle/0017_unread.sql" with { type: "text" };
import webSession from "../../drizzle/0018_web_session.sql" with { type: "text" };
import promptPhases from "../../drizzle/0019_prompt_phases.sql" with { type: "text" };
import refusedHosts from "../../drizzle/0020_refused_hosts.sql" with { type: "text" };
import promptsVersion from "../../drizzle/0021_prompts_version.sql" with { type: "text" };
import largePlans from "../../drizzle/0022_large_plans.sql" with { type: "text" };
import userTurn from "../../drizzle/0023_user_turn.sql" with { type: "text" };
import plansByStatus from "../../drizzle/0024_plans_by_status.sql" with { type: "text" };
import attachment from "../../drizzle/0025_attachment.sql" with { type: "text" };
import agentChoice from "../../drizzle/0026_agent_choice.sql" with { type: "text" };
import talk from "../../drizzle/0027_talk.sql" with { type: "text" };
import projects from "../../drizzle/0028_projects.sql" with { type: "text" };
import runSecrets from "../../drizzle/0029_run_secrets.sql" with { type: "text" };
import agentTurn from "../../drizzle/0030_agent_turn.sql" with { type: "text" };
import modelSpend from "../../drizzle/0031_model_spend.sql" with { type: "text" };
import journal from "../../drizzle/meta/_journal.json" with { type: "json" };

/** The text of each migration, by its tag in the journal. A new migration needs a line here; a test compares the two. */
const TEXTS: Readonly<Record<string, string>> = {
  "0000_first": first,
  "0001_live_and_limits": liveAndLimits,
  "0002_cancel_and_failures": cancelAndFailures,
  "0003_branch_of_its_user": branchOfItsUser,
  "0004_closed_sandboxes": closedSandboxes,
  "0005_agent_memory": agentMemory,
  "0006_work_is_data": workIsData,
  "0007_event_ticket": eventTicket,
  "0008_waiting": waiting,
  "0009_work_of_a_machine": workOfAMachine,
  "0010_start_of_a_prompt": startOfAPrompt,
  "0011_provenance": provenance,
  "0012_effects": effects,
  "0013_comment": comment,
  "0014_sync_prompts": syncPrompts,
  "0015_pull_request": pullRequest,
  "0016_forge_webhooks": forgeWebhooks,
  "0017_unread": unread,
  "0018_web_session": webSession,
  "0019_prompt_phases": promptPhases,
  "0020_refused_hosts": refusedHosts,
  "0021_prompts_version": promptsVersion,
  "0022_large_plans": largePlans,
  "0023_user_turn": userTurn,
  "0024_plans_by_status": plansByStatus,
  "0025_attachment": attachment,
  "0026_agent_choice": agentChoice,
  "0027_talk": talk,
  "0028_projects": projects,
  "0029_run_secrets": runSecrets,
  "0030_agent_turn": agentTurn,
  "0031_model_spend": modelSpend,
};

export interface Migration {
  tag: string;
  /** Milliseconds since 1970, written by drizzle-kit; determines the order. */
  when: number;
  text: string;
}

export const migrations: readonly Migration[] = journal.entries.map((entry) => {
  const text = TEXTS[entry.tag];
  if (text === undefined) throw new Error(`src/db/migrations.ts lacks a line for drizzle/${entry.tag}.sql`);
  return { tag: entry.tag, when: entry.when, text };
});
