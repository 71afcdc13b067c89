// a file of its own, so that it is loaded when it is needed: from `import('umzug')` itself, the build, Node and tsx each
// give something else, it being CommonJS
export { Umzug } from 'umzug';
