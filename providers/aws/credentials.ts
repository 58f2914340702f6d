/**
 * Who signs our calls: the environment, a web identity (a service account's token, EKS IRSA), or the instance's role.
 * Nothing else: the SDK's default chain reads files and loads SSO and process providers, which a node does not have.
 */
import type { Imds } from './imds.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** The SDK asks again some minutes before this. */
  readonly expiration?: Date;
}

/** Reads the first source that is configured; throws `CredentialsProviderError` when it fails (then nothing is sent). */
export function credentialSource(options: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly imds: Imds;
  readonly region: () => Promise<string>;
}): () => Promise<Credentials> {
  return async () => {
    try {
      return fromEnvironment(options.env) ?? (await fromWebIdentity(options)) ?? (await options.imds.roleCredentials());
    } catch (cause) {
      const text = Error.isError(cause) ? cause.message : String(cause);
      throw Object.assign(new Error(`no credentials: ${text}`, { cause }), { name: 'CredentialsProviderError' });
    }
  };
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Credentials | undefined {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** STS AssumeRoleWithWebIdentity; its client is loaded only where it is used. */
async function fromWebIdentity(options: Parameters<typeof credentialSource>[0]): Promise<Credentials | undefined> {
  const {
    AWS_WEB_IDENTITY_TOKEN_FILE: webIdentityTokenFile,
    AWS_ROLE_ARN: roleArn,
    AWS_ROLE_SESSION_NAME,
  } = options.env;
  if (!webIdentityTokenFile || !roleArn) return undefined;
  const { fromTokenFile } = await import('@aws-sdk/credential-provider-web-identity');
  const roleSessionName = AWS_ROLE_SESSION_NAME ?? 'underway';
  const clientConfig = { region: await options.region() };
  return fromTokenFile({ webIdentityTokenFile, roleArn, roleSessionName, clientConfig })();
}
