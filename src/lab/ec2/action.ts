/** What an EC2 action is here: its parameters as data, and one handler that answers elements. */
import type { ApiAction } from '../../../providers/memory/api.ts';
import { Ec2Error, invalidCombination, notInLab } from './ec2-error.ts';
import { type Fields, type Input, readFields } from './fields.ts';
import type { QueryNode } from './query.ts';
import type { Session } from './session.ts';
import type { Elements } from './xml.ts';

interface ActionSpec<F extends Fields> {
  /** By their names on the wire. */
  readonly parameters: F;
  /** Parameters of EC2's that the model has no place for: refused, never ignored. */
  readonly notInLab?: readonly string[];
  /** At most one parameter of each group may be given. */
  readonly exclusive?: readonly (readonly (keyof F & string)[])[];
  /** The model's call that this action is; a dry run asks whether it would be allowed. */
  readonly is: ApiAction;
  handle(input: Input<F>, session: Session): Promise<Elements>;
}

export interface Action {
  readonly parameters: Fields;
  readonly notInLab: readonly string[];
  run(query: QueryNode, session: Session): Promise<Elements>;
}

/** Parameters are checked first, then permission, and only then whether the things named exist (seen at EC2). */
export function action<F extends Fields>(spec: ActionSpec<F>): Action {
  const { parameters, notInLab: missing = [], exclusive = [] } = spec;
  return {
    parameters,
    notInLab: missing,
    async run(query, session) {
      const foreign = missing.find((name) => query.children.has(name));
      if (foreign !== undefined) throw notInLab(`the parameter ${foreign}`);
      const input = readFields(parameters, query);
      for (const group of exclusive) {
        const [first, second] = group.filter((name) => isGiven(input[name]));
        if (second !== undefined)
          throw invalidCombination(`The parameter ${first} cannot be used with the parameter ${second}`);
      }
      if ('DryRun' in input && input.DryRun === true) {
        session.mustBeAllowed(spec.is);
        throw new Ec2Error('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
      }
      return spec.handle(input, session);
    },
  };
}

const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);

/** What EC2 answers where there is nothing to say. */
export const RETURN_TRUE: Elements = { return: true };
