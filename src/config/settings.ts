import { parseSize } from '../lib/sizes.js';
import { fromPeewee, storageOfEnvironment } from './originals.js';
import {
  databaseUrl,
  flag,
  integer,
  oneOf,
  queueUrl,
  seconds,
  setting,
  size,
  text,
  url,
  urlPath,
  window,
} from './setting.js';

/**
 * Every setting, declared once. INI key, environment name (`PACIFICA_<SECTION>_<KEY>`), validation, default,
 * config/pacifica.ini and docs/configuration.md come from here. Sections and keys are those of the original services
 * where those had one, so that a site's old file loads.
 */
export const settings = {
  data: {
    dir: setting(
      text(),
      '',
      'Folder of everything that is kept: pacifica.db, archive/, cart/, ingest/. Empty: the data folder of the user.',
    ),
  },
  database: {
    url: setting(
      databaseUrl(),
      '',
      'Database: sqlite:///path or postgres://user:password@host/name. Empty: pacifica.db in the data folder.',
      { keys: ['peewee_url'], env: ['PEEWEE_URL'], original: fromPeewee, secret: true },
    ),
    connect_attempts: setting(
      integer(1),
      10,
      'How many times a daemon tries a database that can not be reached, at its start.',
      {
        env: ['DATABASE_CONNECT_ATTEMPTS'],
      },
    ),
    connect_wait: setting(seconds(), 20, 'Seconds between two tries.', { env: ['DATABASE_CONNECT_WAIT'] }),
  },
  serve: {
    host: setting(text(), '127.0.0.1', 'Address that the services listen on.'),
    archive_port: setting(integer(0, 65535), 8080, 'Port of the archive interface; 0 takes a free one.'),
    cart_port: setting(integer(0, 65535), 8081, 'Port of the cart service.'),
    ingest_port: setting(integer(0, 65535), 8066, 'Port of the ingest service.'),
    proxy_port: setting(integer(0, 65535), 8180, 'Port of the proxy service.'),
    catalog_port: setting(integer(0, 65535), 8121, 'Port of the catalog: unique ids, policy and metadata.'),
    admin_port: setting(integer(0, 65535), 8090, 'Port for health checks.'),
    drain_timeout: setting(
      seconds(),
      30,
      'Seconds that running requests get to finish when the daemon is told to stop.',
    ),
    debug: setting(flag(), false, 'Put stacks into error answers. Never in production.'),
  },
  archive: {
    storage: setting(
      text(),
      '',
      'Storage that the archive daemon drives: posix:///folder. Empty: archive/ in the data folder.',
      { env: ['PAI_BACKEND_TYPE', 'PAI_PREFIX'], together: storageOfEnvironment },
    ),
    url: setting(
      url(),
      'http://127.0.0.1:8080',
      'Archive interface that client commands talk to. Daemons never read it.',
    ),
  },
  cart: { url: setting(url(), 'http://127.0.0.1:8081', 'Cart service that client commands talk to.') },
  ingest: {
    url: setting(url(), 'http://127.0.0.1:8066', 'Ingest service that client commands talk to.'),
    volume_path: setting(text(), '', 'Folder for bundles on their way in. Empty: ingest/ in the data folder.', {
      env: ['VOLUME_PATH'],
    }),
    default_hash: setting(
      oneOf('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'),
      'sha1',
      'Hash taken of members as they arrive when metadata.txt comes last; a file whose metadata names another type is read once more.',
    ),
    metadata_limit: setting(size(), parseSize('256M'), 'Largest metadata.txt that is taken.'),
    bundle_limit: setting(size(), 0, 'Largest bundle that is taken; 0 is no limit.'),
    member_limit: setting(integer(0), 0, 'Most files of one bundle; 0 is no limit.'),
    path_limit: setting(
      integer(0),
      0,
      'Longest path of a file in a bundle, in bytes; 0 is no limit but 4096 for a path and 255 for each of its parts.',
    ),
    stuck_after: setting(seconds(1), 900, 'Seconds without progress after which a job is told to be stuck.'),
    keep_failed: setting(seconds(), 30 * 86_400, 'Seconds that the data of a failed job is kept for another try.'),
    auth_header: setting(
      text(),
      'X-Http-Authed-User',
      'Request header that carries the user, set by the web server in front.',
      { env: ['INGEST_AUTH_HEADER'] },
    ),
    default_user: setting(text(), 'root', 'User when the header is absent.', { env: ['INGEST_DEFAULT_USER'] }),
  },
  proxy: {
    url: setting(url(), 'http://127.0.0.1:8180', 'Proxy service that client commands talk to.'),
    stage_wait: setting(
      seconds(),
      0,
      'Seconds that a request for a file on tape waits for it; then, or with 0 at once, it is told to come again (202, Retry-After).',
    ),
  },
  catalog: { url: setting(url(), 'http://127.0.0.1:8121', 'Catalog that client commands talk to.') },
  archiveinterface: {
    url: setting(url(), '', 'Archive interface that cart, ingest and proxy use. Empty: the local archive.', {
      env: ['ARCHIVE_INTERFACE_URL', 'ARCHIVEINTERFACE_URL'],
    }),
    write_once: setting(flag(), false, 'Refuse (409) a PUT or PATCH to an id that is taken.'),
    digest: setting(
      oneOf('none', 'adler32', 'md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'),
      'sha256',
      'Checksum that the archive takes of every file that it is sent, and keeps on record.',
    ),
    verify_schedule: setting(
      window(),
      '',
      'When the daemon reads archived files back and compares them with their records: a part of each day in local time, like 22:00-06:00, in which it goes on where it stopped. Empty: never.',
    ),
    verify_interval: setting(
      seconds(0),
      30 * 86_400,
      'Seconds from the beginning of one such round through all files to the next.',
    ),
    verify_rate: setting(size(), 0, 'Bytes a second that are read for it at most; 0 is no limit.'),
    move_roots: setting(
      text(),
      '',
      'Folders that PATCH may take files from, separated by ":". The archive\'s own folder is always allowed.',
    ),
  },
  posix: {
    use_id2filename: setting(
      flag(),
      false,
      "Spread files over folders by the id's hex digits (12345 is 39/3039); ids must be numbers then.",
    ),
  },
  cartd: {
    volume_path: setting(text(), '', 'Folder where carts are staged. Empty: cart/ in the data folder.', {
      env: ['VOLUME_PATH'],
    }),
    lru_buffer_time: setting(
      seconds(),
      0,
      'Seconds that a cart is safe from making room for another, counted from its last use.',
      { env: ['LRU_BUFFER_TIME'] },
    ),
    lru_purge: setting(flag(), true, 'Delete least recently used carts when the volume is full.', {
      env: ['LRU_PURGE'],
    }),
    bundle_task: setting(
      flag(),
      false,
      'Default of "bundle" for carts that do not say: whether the tar is made on disk, which takes its size once more. Off, it is made while it is sent.',
      { env: ['BUNDLE_TASK'] },
    ),
    transfer_size: setting(size(), parseSize('4 Mb'), 'Bytes a read when a file is copied into a cart.', {
      env: ['TRANSFER_SIZE'],
    }),
    copy: setting(
      oneOf('auto', 'always'),
      'auto',
      'auto: link files from a local archive, which takes no space; always: copy them.',
    ),
    concurrency: setting(integer(1, 64), 4, 'Files of one cart that are brought in at a time.'),
    body_limit: setting(
      size(),
      parseSize('256M'),
      'Largest list of files that is taken for a cart; a million files take 150 MiB or so.',
    ),
  },
  uniqueid: { url: setting(url(), '', 'Unique id service. Empty: ours.', { env: ['UNIQUEID_URL'] }) },
  policy: {
    ingest_url: setting(url(), '', 'URL of the policy service that checks metadata. Empty: ours.', {
      env: ['POLICY_INGEST_URL'],
    }),
    rules: setting(
      text(),
      '',
      'JSON file that says who may ingest what (docs/policy.md), for our own policy. Empty: anybody everything.',
    ),
  },
  metadata: {
    ingest_url: setting(url(), '', 'URL of the metadata service that takes metadata. Empty: ours.', {
      env: ['METADATA_INGEST_URL'],
    }),
    url: setting(url(), '', 'Metadata service that the proxy looks files up in. Empty: ours.', {
      env: ['METADATA_URL'],
    }),
    status_url: setting(url(), '', 'URL that tells whether a metadata service is there. Empty: its base URL.', {
      env: ['METADATA_STATUS_URL'],
    }),
    status_wait: setting(seconds(), 5, 'Seconds between two tries to reach a metadata service when the proxy starts.', {
      env: ['METADATA_STATUS_WAIT'],
    }),
    status_attempts: setting(integer(0), 30, 'How many times it is tried; 0 does not wait for it.', {
      env: ['METADATA_STATUS_ATTEMPTS'],
    }),
  },
  nginx: {
    accel: setting(
      flag(),
      false,
      'Answer with X-Accel-Redirect: /archivei_accel/<id>, and let nginx fetch the bytes from the archive interface (docs/nginx.md).',
      { env: ['NGINX_ACCEL'] },
    ),
    accel_root: setting(
      urlPath(),
      '',
      'Internal location of nginx for the folder of a local archive, like /archive_files: nginx sends the file itself (docs/nginx.md). Empty: none. Where the archive is not local it has no effect.',
    ),
  },
  jobs: {
    url: setting(queueUrl(), '', 'Where jobs are queued: postgres://... or mongodb://... Empty: the database.', {
      secret: true,
    }),
    lock_lifetime: setting(seconds(1), 10, 'Seconds after which the jobs of a worker that died are taken over.'),
    concurrency: setting(
      integer(1, 64),
      4,
      'Ingests, and carts, that one process works on at a time. A long one holds up no others as long as it is more than 1.',
    ),
    cart_concurrency: setting(integer(0, 64), 0, 'The same for carts alone; 0 is as concurrency says.'),
    ingest_concurrency: setting(integer(0, 64), 0, 'The same for ingests alone; 0 is as concurrency says.'),
    keep_finished: setting(
      seconds(),
      86_400,
      'Seconds that finished jobs are kept for "pacifica jobs" to show; 0 removes those that ended well at once.',
    ),
  },
  log: {
    level: setting(oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'), 'info', 'What goes to the log.'),
    error_file: setting(text(), '', 'File for the log, instead of stderr. SIGHUP has it opened anew.'),
    access_file: setting(text(), '', 'File for the lines of requests, apart from the rest of the log.'),
  },
};
