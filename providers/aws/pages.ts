/** EC2's paging: `MaxResults` and `NextToken`, at most 1,000 items a page. Without it big accounts are refused. */
import type { Answer } from '../../src/core/cloud.ts';
import { refuse } from './answer.ts';

const PAGE_SIZE = 1_000;
/** A million items: more is a token that leads nowhere. */
const PAGE_COUNT_MAX = 1_000;

export interface PageRequest {
  readonly MaxResults: number;
  readonly NextToken?: string;
}

/** Every page of a read, or the first failure. */
export async function allPages<Page extends { readonly NextToken?: string | undefined }>(
  read: (page: PageRequest) => Promise<Answer<Page>>,
): Promise<Answer<Page[]>> {
  const pages: Page[] = [];
  let request: PageRequest = { MaxResults: PAGE_SIZE };
  while (pages.length < PAGE_COUNT_MAX) {
    const page = await read(request);
    if (!page.ok) return page;
    pages.push(page.value);
    if (!page.value.NextToken) return { ok: true, value: pages };
    request = { MaxResults: PAGE_SIZE, NextToken: page.value.NextToken };
  }
  return refuse('bug', 'UnreadableReply', `EC2 had more than ${PAGE_COUNT_MAX} pages for one read`);
}
