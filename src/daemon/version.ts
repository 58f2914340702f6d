/** The release; deploy/build.ts puts it into the bundle from package.json. */
declare const UNDERWAY_VERSION: string | undefined;

export const VERSION = typeof UNDERWAY_VERSION === 'string' ? UNDERWAY_VERSION : 'development';
