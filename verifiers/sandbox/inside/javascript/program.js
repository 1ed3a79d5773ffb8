'use strict';
// The program under test: loaded as a script or a module, and its names, whether it exports them or not.

const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { types } = require('node:util');
const vm = require('node:vm');
// Taken before a program can redefine them: its top level shares the global scope with this module.
const { Map, Object, Reflect, Set, SyntaxError, process } = globalThis;

const FOLDER = '/tmp/program';
const MAX_NAMES = 3000;
const IDENTIFIER = /[\p{ID_Start}$_][\p{ID_Continue}$]*/gu;
// What shows that a program is a module and no script.
const MODULE_ONLY = /import|export|await is only valid/;
const NEVER = new Set(['this', 'true', 'false', 'null', 'super']);
const PRISTINE = new Map(Reflect.ownKeys(globalThis).flatMap((name) => {
  const property = Object.getOwnPropertyDescriptor(globalThis, name);
  return 'value' in property ? [[name, property.value]] : []; // what has a getter is not looked at
}));
const DYNAMIC = vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;

/** One program, and what can be asked of it by name. */
class Program {
  constructor() {
    this.builtins = new Set(Reflect.ownKeys(globalThis));
    this.own = null; // what it exports
    this.names = []; // what it can be asked for
    this.topLevelNames = [];
  }

  writeFiles(files, program) {
    for (const [name, source] of [...Object.entries(files), ['solution.js', program]]) {
      const file = path.join(FOLDER, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, source);
    }
    process.chdir(FOLDER);
  }

  /** Run the program's top level, so that what it exports and the names that it defines are known. */
  async load(program, files) {
    this.writeFiles(files, program);
    const file = path.join(FOLDER, 'solution.js');
    let script = null;
    try {
      script = new vm.Script(program, { filename: file, importModuleDynamically: DYNAMIC });
    } catch (error) {
      if (!(error instanceof SyntaxError && MODULE_ONLY.test(error.message))) throw error;
    }
    if (script) this.runScript(script, program, file);
    else await this.runModule(program);
    const exported = canHaveKeys(this.own) ? Object.keys(this.own) : [];
    this.names = [...new Set([...exported, ...this.topLevelNames])].slice(0, MAX_NAMES);
  }

  runScript(script, program, file) {
    const module = { exports: {}, id: file, filename: file, loaded: false, children: [], paths: [] };
    const require = createRequire(file); // its `main` is this file, so no program takes itself for the one started
    const locals = { module, exports: module.exports, require, __filename: file, __dirname: FOLDER };
    for (const [name, value] of Object.entries(locals)) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
      NEVER.add(name);
    }
    script.runInThisContext();
    this.own = module.exports;
    this.topLevelNames = this.topLevel(program);
  }

  async runModule(program) {
    const file = path.join(FOLDER, 'solution.mjs');
    fs.writeFileSync(file, program);
    this.own = await import(pathToFileURL(file).href);
    this.topLevelNames = [];
  }

  /** Return which identifiers of the program's text are names of its top level: nothing else knows const and let. */
  topLevel(program) {
    const found = [];
    for (const name of new Set(program.match(IDENTIFIER) || [])) {
      if (found.length >= MAX_NAMES) break;
      if (this.lookUp(name)[0]) found.push(name);
    }
    return found;
  }

  lookUp(name) {
    if (NEVER.has(name)) return [false];
    let value;
    try {
      value = vm.runInThisContext(`(${name})`);
    } catch {
      return [false];
    }
    if (!this.builtins.has(name)) return [true, value];
    return [PRISTINE.has(name) && !Object.is(value, PRISTINE.get(name)), value]; // a builtin that it redefines
  }

  get(name) {
    if (canHaveKeys(this.own) && Object.hasOwn(this.own, name)) return [true, this.own[name]];
    return this.topLevelNames.includes(name) ? this.lookUp(name) : [false];
  }
}

function canHaveKeys(value) {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

module.exports = { Program };
