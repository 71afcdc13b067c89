import type { Context } from 'koa';
import { PacificaError } from '../lib/errors.js';

/**
 * Reads a parameter of the request's query.
 * @returns undefined when it is absent
 * @throws PacificaError `invalid` when it is there twice, or contains NUL (no database takes it)
 */
export function queryText(ctx: Context, name: string): string | undefined {
  const value = ctx.query[name];
  if (Array.isArray(value)) throw new PacificaError('invalid', `the query parameter ${name} is there more than once`);
  if (value?.includes('\0') === true) throw new PacificaError('invalid', `the query parameter ${name} contains NUL`);
  return value;
}

/**
 * Reads a parameter that is a whole number.
 * @param min smallest number that is taken
 * @param max largest one
 * @returns undefined when it is absent
 * @throws PacificaError `invalid` naming the parameter
 */
export function queryInteger(ctx: Context, name: string, min: number, max?: number): number | undefined {
  const text = queryText(ctx, name);
  return text === undefined ? undefined : parseInteger(`the query parameter ${name}`, text, min, max);
}

/** @throws PacificaError `invalid` naming `what` */
export function parseInteger(what: string, text: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new PacificaError('invalid', `${what} is ${JSON.stringify(text.slice(0, 100))}`, {
    hint: `it must be a whole number from ${min} to ${max}`,
  });
}
