/** Versions of the CNI specification that Underway speaks; src/cni/version.h says the same to VERSION. */
export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/** What an answer is written in when the question names no version that we know. */
export const NEWEST_VERSION: CniVersion = '1.1.0';

export const isSupported = (text: string): text is CniVersion => SUPPORTED_VERSIONS.some((known) => known === text);

/** True when `version` is `first` or newer. */
export const isSince = (version: CniVersion, first: CniVersion): boolean =>
  SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(first);
