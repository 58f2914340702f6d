/**
 * The worker from the other side: deeds as promises. It holds the process up only while a deed is under way.
 */
import { Worker } from 'node:worker_threads';
import type { KernelEvent } from '../ports/kernel.ts';
import type { DeedName, Deeds, Reply, Request } from './deeds.ts';
import { STEPS } from './failpoint.ts';
import { OWN_TAG } from './own-port.ts';
import { workerUrl } from './worker-url.ts';

/** A deed that the kernel or the worker refused; `code` is an errno's name or empty. */
export class DeedError extends Error {
  override readonly name = 'DeedError';
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type ListenRequest = Omit<Parameters<Deeds['listen']>[0], 'subscription'>;

export class WorkerClient {
  private readonly worker = new Worker(workerUrl(), {
    name: 'kernel',
    workerData: { portTag: OWN_TAG, steps: STEPS },
    // Its descriptors come from C and go to whoever asked for them; Node cannot keep track.
    trackUnmanagedFds: false,
  });
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Map<number, (event: KernelEvent) => void>();
  private readonly failure = Promise.withResolvers<Error>();
  private nextId = 1;
  private ended: Error | undefined;
  private isClosing = false;
  private hasAnswered = false;

  constructor() {
    this.worker.unref();
    this.worker.on('message', (reply: Reply) => this.take(reply));
    this.worker.on('error', (cause) => this.end(new Error('the kernel worker failed', { cause })));
    this.worker.on('exit', () => this.end(new DeedError('the kernel worker has ended', 'ESRCH')));
  }

  /** Resolves with the reason when the worker ends without having been asked to. */
  get failed(): Promise<Error> {
    return this.failure.promise;
  }

  /** By itself or as asked: no deed is done any more. */
  get hasEnded(): boolean {
    return this.ended !== undefined;
  }

  /** It answered what it was asked, and so has started what it needs before anybody enters a namespace. */
  get isIdle(): boolean {
    return this.hasAnswered && this.pending.size === 0 && this.ended === undefined;
  }

  /** Rejects with DeedError. Deeds are done in the order in which they are asked for. */
  call<D extends DeedName>(deed: D, request: Parameters<Deeds[D]>[0]): Promise<ReturnType<Deeds[D]>> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = this.nextId++;
    const message: Request = { id, deed, request };
    return new Promise((resolve, reject) => {
      if (this.pending.size === 0) this.worker.ref();
      // The worker answers with what its Deeds say of this name.
      this.pending.set(id, { resolve: (value) => resolve(value as ReturnType<Deeds[D]>), reject });
      this.worker.postMessage(message);
    });
  }

  /** Events come one by one, from when the returned promise `ready` resolves until `stop` is called. */
  listen(request: ListenRequest, listener: (event: KernelEvent) => void): { ready: Promise<void>; stop: () => void } {
    const subscription = this.nextId++;
    this.listeners.set(subscription, listener);
    const stop = () => {
      if (!this.listeners.delete(subscription) || this.ended !== undefined) return;
      this.call('unlisten', { subscription }).catch(() => {});
    };
    return { ready: this.call('listen', { ...request, subscription }), stop };
  }

  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    this.isClosing = true;
    const exit = new Promise((resolve) => this.worker.once('exit', resolve));
    await this.call('close', {});
    this.worker.ref();
    await exit;
  }

  private take(reply: Reply): void {
    if ('events' in reply) {
      for (const event of reply.events) this.listeners.get(reply.subscription)?.(event);
      return;
    }
    this.hasAnswered = true;
    const pending = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    if (this.pending.size === 0) this.worker.unref();
    if ('error' in reply) pending?.reject(new DeedError(reply.error.message, reply.error.code));
    else pending?.resolve(reply.value);
  }

  private end(error: Error): void {
    this.ended ??= error;
    if (!this.isClosing) this.failure.resolve(this.ended);
    for (const { reject } of this.pending.values()) reject(this.ended);
    this.pending.clear();
  }
}
