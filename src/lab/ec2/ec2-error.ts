/**
 * What EC2 answers instead of a result. Thrown by anything below the endpoint, written by it.
 * Source: EC2 API reference, "Error codes for the Amazon EC2 API".
 */

/** EC2's statuses: 400 for what the client got wrong, 403 for what it may not, 412 for a dry run, 5xx for the rest. */
export class Ec2Error extends Error {
  override readonly name = 'Ec2Error';
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The client gets no answer: its connection breaks, or (`silent`) stays open and nothing ever comes. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  readonly silent: boolean;

  constructor(silent: boolean) {
    super('no answer');
    this.silent = silent;
  }
}

export const invalidValue = (message: string): Ec2Error => new Ec2Error('InvalidParameterValue', message);

export const invalidCombination = (message: string): Ec2Error => new Ec2Error('InvalidParameterCombination', message);

export const missing = (name: string): Ec2Error =>
  new Ec2Error('MissingParameter', `The request must contain the parameter ${name}`);

export const unknown = (name: string): Ec2Error =>
  new Ec2Error('UnknownParameter', `The parameter ${name} is not recognized`);

/** EC2 knows this; the lab's cloud has nothing to do it with, and says so instead of ignoring it. */
export const notInLab = (what: string): Ec2Error =>
  new Ec2Error('UnsupportedOperation', `The lab's cloud does not model ${what}`);
