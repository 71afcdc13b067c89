import type { Context } from 'koa';

/**
 * JSON as Python's json.dumps writes it, which the originals answer with: a space after `,` and `:`, ASCII only. Shell
 * scripts that look for `"message": "..."` go on working.
 */
export function wireJson(value: unknown): string {
  // strings contain no line breaks in JSON: every one here is the indentation's
  return JSON.stringify(value, undefined, 1)
    .replace(/,\n */g, ', ')
    .replace(/\n */g, '')
    .replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Answers with JSON in that form, typed as the originals do. */
export function answerJson(ctx: Context, status: number, value: unknown): void {
  ctx.status = status;
  ctx.set('Content-Type', 'application/json');
  ctx.body = wireJson(value);
}
