/** From a uniform draw to the time until the next of events that come at random, with this mean. */
export const exponential = (uniform: number, mean: number): number => -Math.log(1 - uniform) * mean;
