package blog

// Dropping cached documents on demand. Entry point: PurgeCaches.

import (
	"context"

	"stoa/access"
)

// PurgeCaches drops everything that depends on cache tags from the caches of every replica, for
// administrators. See store.Purge.
func (b *Blog) PurgeCaches(ctx context.Context, tags []string) error {
	if _, err := access.Require(ctx, access.Admin); err != nil {
		return err
	}
	return b.store.Purge(ctx, tags)
}
