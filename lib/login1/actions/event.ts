/** What sets an action of logind.conf off. */
import type { InhibitWhat } from "../inhibitors/inhibitor.ts";
import type { HandleAction } from "../settings/logind-conf.ts";

/** A key, the lid, idleness. */
export interface ActionEvent {
  /** For the log: "the power key was pressed". */
  because: string;
  /** The inhibitor by which a desktop takes it over. */
  inhibit?: InhibitWhat;
  /** Whether inhibitors of shutdown and sleep are passed over. */
  ignoreInhibited: boolean;
  /** The seat that it came from. */
  seat?: string;
  /** It is only looked at once more: what is refused is no news, and nobody is to be locked again. */
  again?: boolean;
}

/** Does what is to be done then, or says in the log why not. Never throws. */
export type Act = (action: HandleAction, event: ActionEvent) => void;
