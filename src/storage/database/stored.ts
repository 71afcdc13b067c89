/** A row as the databases hand it out: PostgreSQL gives BIGINT as text, SQLite BOOLEAN as 0 and 1. */
export type Stored<T> = {
  [K in keyof T]: T[K] extends boolean
    ? boolean | number
    : T[K] extends number
      ? number | string
      : T[K] extends number | null
        ? number | string | null
        : T[K];
};
