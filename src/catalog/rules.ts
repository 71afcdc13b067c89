import { PacificaError } from '../lib/errors.js';

/** Ids are compared as text: clients send `54` and `"54"`. */
type Id = number | string;

/** A line of `users`, `projects` or `instruments`: its id, and the columns that clients may ask for. */
export type RuleRow = Readonly<Record<string, unknown>> & { readonly _id: Id };

interface User {
  readonly row: RuleRow;
  readonly admin: boolean;
}

interface Project {
  readonly row: RuleRow;
  readonly users: ReadonlySet<string>;
  readonly instruments: ReadonlySet<string>;
}

/** Whose data it is, for what, and made with which instrument; as metadata gives them. */
export interface Subject {
  readonly submitter: unknown;
  readonly project: unknown;
  readonly instrument: unknown;
}

/** What a client asks for (transcripts, `POST /uploader`). */
export interface RuleQuery {
  /** id of the user who asks; -1 when he is not known yet */
  readonly user: Id;
  readonly from: 'users' | 'projects' | 'instruments';
  readonly columns: readonly string[];
  readonly where: Readonly<Record<string, unknown>>;
}

const TABLES = ['users', 'projects', 'instruments'] as const;

/** Keys that say who may do what; the others are columns. */
const NOT_COLUMNS: ReadonlySet<string> = new Set(['admin', 'users', 'instruments']);

/**
 * A site's list of users, projects and instruments, and who may ingest what (docs/policy.md): a user belongs to the
 * projects that name him, and may use their instruments; an admin belongs to all, and may ingest for others.
 */
export class Rules {
  readonly #users = new Map<string, User>();
  readonly #logins = new Map<string, User>();
  readonly #projects = new Map<string, Project>();
  readonly #instruments = new Map<string, RuleRow>();

  /**
   * @param document the file's JSON
   * @throws PacificaError `invalid` naming the entry
   */
  constructor(document: unknown) {
    const tables = object(document, 'the document');
    const unknown = Object.keys(tables).find((key) => !TABLES.some((table) => table === key));
    if (unknown !== undefined) {
      throw fault(`${JSON.stringify(unknown)} is not known`, `there are ${TABLES.join(', ')}`);
    }
    for (const [row, where] of rows(tables, 'users')) {
      const { network_id: login, admin = false } = row;
      if (typeof admin !== 'boolean') throw fault(`${where}.admin is not true or false`);
      if (typeof login !== 'string' || login === '') throw fault(`${where}.network_id is not a user's name`);
      if (this.#logins.has(login)) throw fault(`${where}: there are two users with the network_id ${show(login)}`);
      const user = { row, admin };
      add(this.#users, row, user, where);
      this.#logins.set(login, user);
    }
    for (const [row, where] of rows(tables, 'instruments')) add(this.#instruments, row, row, where);
    for (const [row, where] of rows(tables, 'projects')) {
      const users = references(row.users, this.#users, `${where}.users`, 'user');
      const instruments = references(row.instruments, this.#instruments, `${where}.instruments`, 'instrument');
      add(this.#projects, row, { row, users, instruments }, where);
    }
  }

  /**
   * Checks that `login`, the user as the web server in front names him, may ingest this.
   * @throws PacificaError `forbidden` with the reason
   */
  check({ submitter, project, instrument }: Subject, login: string): void {
    const owner = this.#users.get(key(submitter));
    const target = this.#projects.get(key(project));
    const unknown = [
      ...(owner === undefined ? [`submitter (${show(submitter)})`] : []),
      ...(target === undefined ? [`project (${show(project)})`] : []),
      ...(this.#instruments.has(key(instrument)) ? [] : [`instrument (${show(instrument)})`]),
    ];
    if (owner === undefined || target === undefined || unknown.length > 0) {
      throw refusal(`Invalid values for ${unknown.join(', ')}`, "they are not in the site's rules");
    }
    const user = this.#logins.get(login);
    if (user === undefined) throw refusal(`user ${show(login)} is not in the site's rules`);
    if (user !== owner && !user.admin)
      throw refusal(`user ${show(login)} may not ingest for submitter ${key(submitter)}`);
    if (owner.admin) return;
    if (!target.users.has(key(submitter))) {
      throw refusal(`Invalid values for project (${show(project)})`, `submitter ${key(submitter)} is not a user of it`);
    }
    if (!target.instruments.has(key(instrument))) {
      throw refusal(`Invalid values for instrument (${show(instrument)})`, `project ${key(project)} does not use it`);
    }
  }

  /** Answers a query as the originals' policy service does. Unknown keys of `where` are left out of account, as there. */
  query({ user, from, columns, where }: RuleQuery): Record<string, unknown>[] {
    const wanted = new Set(columns.filter((column) => !NOT_COLUMNS.has(column)));
    return this.#find(from, key(user), where).map((row) =>
      Object.fromEntries(Object.entries(row).filter(([column]) => wanted.has(column))),
    );
  }

  #find(from: RuleQuery['from'], asking: string, where: RuleQuery['where']): RuleRow[] {
    switch (from) {
      case 'users':
        return this.#findUsers(asking, where);
      case 'projects':
        return this.#findProjects(asking, where);
      case 'instruments':
        return this.#findInstruments(asking, where);
    }
  }

  #findUsers(asking: string, where: RuleQuery['where']): RuleRow[] {
    if ('network_id' in where) return rowsOf([this.#logins.get(key(where.network_id))]);
    if ('project_id' in where) {
      const members = this.#projects.get(key(where.project_id))?.users ?? [];
      return rowsOf([...members].map((id) => this.#users.get(id)));
    }
    return rowsOf([this.#users.get(asking)]);
  }

  #findProjects(asking: string, where: RuleQuery['where']): RuleRow[] {
    if ('_id' in where) return rowsOf([this.#projects.get(key(where._id))]);
    const own = this.#projectsOf(asking);
    if (!('instrument_id' in where) || this.#isAdmin(asking)) return rowsOf(own);
    return rowsOf(own.filter(({ instruments }) => instruments.has(key(where.instrument_id))));
  }

  #findInstruments(asking: string, where: RuleQuery['where']): RuleRow[] {
    const all = [...this.#instruments.values()];
    if ('_id' in where) return all.filter((row) => key(row._id) === key(where._id));
    if (this.#isAdmin(asking)) return all;
    const own = this.#projectsOf(asking).filter(
      ({ row }) => !('project_id' in where) || key(row._id) === key(where.project_id),
    );
    return all.filter((row) => own.some(({ instruments }) => instruments.has(key(row._id))));
  }

  #projectsOf(asking: string): Project[] {
    const all = [...this.#projects.values()];
    return this.#isAdmin(asking) ? all : all.filter(({ users }) => users.has(asking));
  }

  #isAdmin(asking: string): boolean {
    return this.#users.get(asking)?.admin === true;
  }
}

function rowsOf(found: readonly ({ row: RuleRow } | undefined)[]): RuleRow[] {
  return found.flatMap((one) => (one === undefined ? [] : [one.row]));
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw fault(`${where} is not an object`);
}

/** @returns the rows of a table, each with its name in messages */
function rows(tables: Record<string, unknown>, table: (typeof TABLES)[number]): [RuleRow, string][] {
  const list = tables[table];
  if (!Array.isArray(list)) throw fault(`"${table}" is not a list`);
  return list.map((item: unknown, index) => {
    const where = `${table}[${index}]`;
    const row = object(item, where);
    const { _id: id } = row;
    if (!isId(id)) throw fault(`${where}._id is not a number or a text`);
    return [{ ...row, _id: id }, where];
  });
}

function isId(value: unknown): value is Id {
  return Number.isSafeInteger(value) || (typeof value === 'string' && value !== '');
}

function add<T>(table: Map<string, T>, row: RuleRow, entry: T, where: string): void {
  if (table.has(key(row._id))) throw fault(`${where}: the _id ${key(row._id)} is there already`);
  table.set(key(row._id), entry);
}

/** Reads a list of ids of another table. */
function references(list: unknown, table: ReadonlyMap<string, unknown>, where: string, what: string): Set<string> {
  if (!Array.isArray(list)) throw fault(`${where} is not a list of ids`, 'write [] for none');
  return new Set(
    list.map((id: unknown) => {
      if (!table.has(key(id))) throw fault(`${where}: there is no ${what} ${show(id)}`);
      return key(id);
    }),
  );
}

function key(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string' ? String(value) : '';
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 100);
}

function fault(message: string, hint?: string): PacificaError {
  return new PacificaError('invalid', message, { hint });
}

function refusal(message: string, hint?: string): PacificaError {
  return new PacificaError('forbidden', message, { hint });
}
