// Jest's transform: Node strips the types itself, so tests run the very text that production runs.
import { stripTypeScriptTypes } from 'node:module';

const transform = { process: (source) => ({ code: stripTypeScriptTypes(source, { mode: 'strip' }) }) };
export default transform;
