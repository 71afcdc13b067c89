import { randomUUID } from 'node:crypto';
import { QueryTypes } from 'sequelize';
import type { ArchiveId } from '../../lib/archive-id.js';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

/** What is looked at: first every file on record, then every file that the storage has and no record speaks of. */
export type VerifyPass = 'records' | 'files';

export interface VerifyCounts {
  /** files that were looked at */
  readonly files: number;
  /** bytes that were read */
  readonly bytes: number;
  /** files that are missing or not as recorded */
  readonly damaged: number;
  /** files that nothing is on record of to compare them with */
  readonly unrecorded: number;
  /** those among them that got a record */
  readonly adopted: number;
}

/** Where a run is, or how it ended. */
export interface VerifyRun extends VerifyCounts {
  /** which files it is about: `all`, `3/30`, `schedule`, ...; there is one run of each */
  readonly selection: string;
  /** tells it from one that took it over */
  readonly runId: string;
  /** ms since 1970 */
  readonly started: number;
  /** ms since 1970 */
  readonly updated: number;
  /** when all was looked at, ms since 1970; null while something is left */
  readonly ended: number | null;
  readonly pass: VerifyPass;
  /** the last id of this pass up to which all are done; empty at its beginning */
  readonly after: string;
}

/** A file that is not as it should be. */
export interface Damage {
  readonly id: ArchiveId;
  readonly reason: 'missing' | 'size' | 'digest' | 'unreadable';
  /** where it lies, or should */
  readonly path: string;
  /** what was expected and what was found, for people */
  readonly detail: string;
}

export interface KnownDamage extends Damage {
  /** when it was found last, ms since 1970 */
  readonly found: number;
}

interface RunRow {
  selection: string;
  run_id: string;
  started: number | string;
  updated: number | string;
  ended: number | string | null;
  pass: VerifyPass;
  after_id: string;
  files: number | string;
  bytes: number | string;
  damaged: number | string;
  unrecorded: number | string;
  adopted: number | string;
}

interface DamageRow {
  file_id: string;
  reason: Damage['reason'];
  path: string;
  detail: string;
  found: number | string;
}

const RUNS = 'pacifica_archive_verify';
const DAMAGE = 'pacifica_archive_damage';
const FILES = 'pacifica_archive_file';
const NOTHING: VerifyCounts = { files: 0, bytes: 0, damaged: 0, unrecorded: 0, adopted: 0 };

/** How far verifying is, and what it found: tables `pacifica_archive_verify` and `pacifica_archive_damage`. */
export class VerifyRuns {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Begins a run, or goes on with one that did not come to its end. Whoever was at it can write no more.
   * @param options.resume go on where the last run of this selection stopped; from the beginning when that ended
   */
  async begin(selection: string, { resume }: { resume: boolean }): Promise<VerifyRun> {
    const last = resume ? await this.find(selection) : undefined;
    const now = Date.now();
    const begun: VerifyRun =
      last?.ended === null
        ? { ...last, runId: randomUUID(), updated: now }
        : {
            ...NOTHING,
            selection,
            runId: randomUUID(),
            started: now,
            updated: now,
            ended: null,
            pass: 'records',
            after: '',
          };
    await this.#database.writeStatement(
      `INSERT INTO ${RUNS} (selection, run_id, started, updated, ended, pass, after_id, files, bytes, damaged, unrecorded, adopted)
       VALUES ($selection, $runId, $started, $updated, $ended, $pass, $after, $files, $bytes, $damaged, $unrecorded, $adopted)
       ON CONFLICT (selection) DO UPDATE SET run_id = excluded.run_id, started = excluded.started,
         updated = excluded.updated, ended = excluded.ended, pass = excluded.pass, after_id = excluded.after_id,
         files = excluded.files, bytes = excluded.bytes, damaged = excluded.damaged,
         unrecorded = excluded.unrecorded, adopted = excluded.adopted`,
      { ...begun },
    );
    return begun;
  }

  /**
   * Writes down how far a run is. Not durable before its end: what a power cut takes back is looked at once more.
   * @throws PacificaError `aborted` when another process has taken the run over
   */
  async save(run: VerifyRun): Promise<void> {
    const { selection, runId, ended, pass, after, files, bytes, damaged, unrecorded, adopted } = run;
    const rows = await this.#database.writeStatement(
      `UPDATE ${RUNS} SET updated = $now, ended = $ended, pass = $pass, after_id = $after, files = $files,
         bytes = $bytes, damaged = $damaged, unrecorded = $unrecorded, adopted = $adopted
       WHERE selection = $selection AND run_id = $runId RETURNING selection`,
      { selection, runId, ended, pass, after, files, bytes, damaged, unrecorded, adopted, now: Date.now() },
      { durable: ended !== null },
    );
    if (rows.length === 0) {
      throw new PacificaError('aborted', `another process has begun to verify the same files (${selection})`);
    }
  }

  /** @returns the last run of a selection */
  async find(selection: string): Promise<VerifyRun | undefined> {
    return (await this.all()).find((run) => run.selection === selection);
  }

  /** @returns the last run of each selection, the newest first */
  async all(): Promise<VerifyRun[]> {
    const rows = await this.#select<RunRow>(`SELECT * FROM ${RUNS} ORDER BY updated DESC`);
    return rows.map((row) => ({
      selection: row.selection,
      runId: row.run_id,
      started: Number(row.started),
      updated: Number(row.updated),
      ended: row.ended === null ? null : Number(row.ended),
      pass: row.pass,
      after: row.after_id,
      files: Number(row.files),
      bytes: Number(row.bytes),
      damaged: Number(row.damaged),
      unrecorded: Number(row.unrecorded),
      adopted: Number(row.adopted),
    }));
  }

  /** Writes down, durably, that a file is damaged. */
  async damaged({ id, reason, path, detail }: Damage): Promise<void> {
    await this.#database.writeStatement(
      `INSERT INTO ${DAMAGE} (file_id, reason, path, detail, found) VALUES ($id, $reason, $path, $detail, $now)
       ON CONFLICT (file_id) DO UPDATE SET reason = excluded.reason, path = excluded.path,
         detail = excluded.detail, found = excluded.found`,
      { id, reason, path, detail, now: Date.now() },
    );
  }

  /** A file that was damaged is not any more. */
  async mended(id: ArchiveId): Promise<void> {
    await this.#database.writeStatement(`DELETE FROM ${DAMAGE} WHERE file_id = $id`, { id });
  }

  /** All files were looked at since `time`: what was found before it and not again is gone. */
  async forgetDamageBefore(time: number): Promise<void> {
    await this.#database.writeStatement(`DELETE FROM ${DAMAGE} WHERE found < $time`, { time });
  }

  /** @returns files that are known to be damaged, by their ids */
  async knownDamage(): Promise<KnownDamage[]> {
    const rows = await this.#select<DamageRow>(`SELECT * FROM ${DAMAGE} ORDER BY file_id`);
    return rows.map(({ file_id, reason, path, detail, found }) => ({
      id: file_id as ArchiveId,
      reason,
      path,
      detail,
      found: Number(found),
    }));
  }

  /** @returns bytes that are on record of files after an id, in the order of {@link recordedIds} */
  async recordedBytes(after: string): Promise<number> {
    const sum = `SELECT SUM(size) AS bytes FROM ${FILES} WHERE state = 'settled' AND file_id > $after`;
    const [row] = await this.#select<{ bytes: number | string | null }>(sum, { after });
    return Number(row?.bytes ?? 0);
  }

  /** @returns up to `limit` ids that there is a record of, in the database's own order, from the one after `after` on */
  async recordedIds(after: string, limit: number): Promise<ArchiveId[]> {
    const page = `SELECT DISTINCT file_id FROM ${FILES} WHERE file_id > $after ORDER BY file_id LIMIT ${limit}`;
    const rows = await this.#select<{ file_id: string }>(page, { after });
    return rows.map(({ file_id }) => file_id as ArchiveId);
  }

  async #select<Row extends object>(sql: string, bind: Record<string, unknown> = {}): Promise<Row[]> {
    return this.#database.sequelize.query<Row>(sql, { bind, type: QueryTypes.SELECT });
  }
}
