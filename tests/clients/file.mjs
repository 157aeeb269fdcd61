// Node 18, which Debian 12 has, knows File, but not as a global name.
import { File } from 'node:buffer';

globalThis.File ??= File;
