/** characters of an answer that a message shows: it is kept with a job, and asked for once a second */
const MOST = 300;

/** @returns the beginning of an answer that is not what was asked for, in a message */
export function shown(answer: unknown): string {
  return JSON.stringify(answer).slice(0, MOST);
}
