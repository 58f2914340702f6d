/** The clouds, by name. Each is imported only when it is asked for: a node of one loads no other's SDK. */
import type { Provider } from '../src/ports/provider.ts';
import type { AwsConfig } from './aws/provider.ts';

/** What each provider is created from. */
export interface ProviderConfigs {
  readonly aws: AwsConfig;
}

export type ProviderName = keyof ProviderConfigs;

/** A provider that may be done with. */
export type OpenProvider = Provider & { close(): void };

const CREATE: { readonly [Name in ProviderName]: (config: ProviderConfigs[Name]) => Promise<OpenProvider> } = {
  aws: async (config) => (await import('./aws/provider.ts')).createAwsProvider(config),
};

export const providerNames = Object.keys(CREATE) as readonly ProviderName[];

/** Connects to nothing: the first call does. */
export const createProvider = <Name extends ProviderName>(
  name: Name,
  config: ProviderConfigs[Name],
): Promise<OpenProvider> => CREATE[name](config);
