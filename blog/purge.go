package blog

import (
	"context"

	"stoa/access"
)

// PurgeCaches makes every replica forget what depends on tags: for administrators. See
// store.Purge.
func (b *Blog) PurgeCaches(ctx context.Context, tags []string) error {
	if _, err := access.Require(ctx, access.Admin); err != nil {
		return err
	}
	return b.store.Purge(ctx, tags)
}
