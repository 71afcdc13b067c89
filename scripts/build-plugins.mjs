// What the build changes in packages so that commands start and run faster: nothing that can be seen but by a clock.
import { readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * Takes from Node's own modules what is used of them. `import` of one gives all of it, and so makes things that Node
 * makes when they are first asked for: stdin, streams of files, web crypto.
 */
export const builtins = {
  name: 'builtins',
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z_/]+$/ }, ({ kind, path }) => {
      const name = path.replace(/^node:/, '');
      if (kind !== 'import-statement' || !builtinModules.includes(name)) return undefined;
      return { path: `node:${name}`, namespace: 'builtin', sideEffects: false };
    });
    build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => {
      const names = Object.keys(require(path)).filter((name) => name !== 'default' && /^[a-zA-Z_$][\w$]*$/.test(name));
      // those that nobody imports are dropped, being pure
      const exported = names.map((name, index) => `const v${index} = /* @__PURE__ */ (() => all.${name})();`);
      const list = names.map((name, index) => `v${index} as ${name}`);
      return {
        contents: `const all = /* @__PURE__ */ process.getBuiltinModule('${path}');\n${exported.join('\n')}\nexport { all as default, ${list.join(', ')} };`,
      };
    });
  },
};

/** What packages load and we never reach, by the package's folder that asks for it. Who reaches it is told by name. */
const LEFT_OUT = [
  // files of commands are found by the manifest, migrations are a list
  { path: /^tinyglobby$/, importer: /@oclif\/core|umzug/ },
  // package.json names its plug-ins in full (see below)
  { path: /^minimatch$/, importer: /@oclif\/core/ },
  // its own command line
  { path: /^\.\/cli$/, importer: /umzug\/lib/ },
  { path: /^\.\/dialects\/(db2|mariadb|mssql|mysql|oracle|snowflake)$/, importer: /sequelize\/lib\/sequelize\.js$/ },
];

/** Puts something that throws when it is used in the place of {@link LEFT_OUT}. */
export const leftOut = {
  name: 'left-out',
  setup(build) {
    build.onResolve({ filter: /^(tinyglobby|minimatch|\.\/cli|\.\/dialects\/.*)$/ }, ({ path, importer }) =>
      LEFT_OUT.some((part) => part.path.test(path) && part.importer.test(importer))
        ? { path, namespace: 'left-out' }
        : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, {
        get() {
          throw new Error('${path} is left out of the build (scripts/build-plugins.mjs)');
        },
      });`,
    }));
  },
};

/** What stands in files of packages, and what the build writes there. */
const PATCHES = [
  {
    file: '@oclif/core/lib/config/plugin.js',
    // loads the rules of all languages, for ids that are ASCII
    old: '.sort((a, b) => a.id.localeCompare(b.id))',
    new: '.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))',
  },
  {
    file: '@oclif/core/lib/config/plugin-loader.js',
    old: '(0, minimatch_1.minimatch)(p, w)',
    new: 'p === w',
  },
  {
    file: '@oclif/core/lib/util/os.js',
    // looks into files whether this is Windows' Linux, which makes no difference to us
    old: "(await import('wsl-utils')).isWsl ? 'wsl' : (0, node_os_1.platform)()",
    new: '(0, node_os_1.platform)()',
  },
  {
    file: 'moment-timezone/index.js',
    // reads a table of all time zones, for Sequelize's "+00:00"
    old: "moment.tz.load(require('./data/packed/latest.json'));",
    new: `const { zone } = moment.tz;
      moment.tz.zone = (name) => {
        if (/^[+-]\\d\\d:\\d\\d$/.test(name)) return null;
        if (moment.tz.names().length === 0) moment.tz.load(require('./data/packed/latest.json'));
        return zone(name);
      };`,
  },
  {
    file: 'sequelize/lib/dialects/sqlite/query.js',
    // writes down where a query was asked for each time; it is for errors
    old: 'results, errForStack.stack)',
    new: 'results, executionError && errForStack.stack)',
  },
  ...['@oclif/core/lib/util/os.js', '@oclif/core/lib/parser/parse.js', '@oclif/core/lib/performance.js'].map(lazily),
];

/** Node's module is loaded when something of it is used. */
function lazily(file) {
  return {
    file,
    old: /require\("node:(?:child_process|readline|perf_hooks)"\)/,
    new: (call) => `new Proxy({}, { get: (_, key) => ${call}[key] })`,
  };
}

/** Changes files of packages. The build fails when one of {@link PATCHES} finds nothing to change. */
export function patches() {
  return {
    name: 'patches',
    setup(build) {
      const left = new Set(PATCHES);
      build.onLoad({ filter: /node_modules\/(@oclif\/core|moment-timezone|sequelize)\/.*\.js$/ }, ({ path }) => {
        const found = PATCHES.filter(({ file }) => path.endsWith(`/node_modules/${file}`));
        let text = readFileSync(path, 'utf8');
        for (const patch of found) {
          const changed = text.replace(patch.old, typeof patch.new === 'string' ? () => patch.new : patch.new);
          if (changed !== text) left.delete(patch);
          text = changed;
        }
        return found.length === 0 ? undefined : { contents: text };
      });
      build.onEnd(() => {
        if (left.size > 0)
          throw new Error(`nothing to change in ${[...left].map(({ file, old }) => `${file}: ${old}`).join(', ')}`);
      });
    },
  };
}
