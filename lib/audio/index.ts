/** Starting sound: the cards' mixers at boot, the sound servers in a session. */
export { type AlsaOptions, restoreCards, type SoundCard, soundCards } from "./alsa.ts";
export { runSession, type SessionOptions } from "./session.ts";
