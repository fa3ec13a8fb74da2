package graph

// The mutation cachePurge, for administrators.

import (
	"context"

	"stoa/graph/generated"
	"stoa/problem"
)

func (m mutation) CachePurge(ctx context.Context, in generated.CachePurgeInput) (*generated.CachePurgePayload, error) {
	problems, err := cacheErrors(m.Blog.PurgeCaches(ctx, in.Tags))
	return &generated.CachePurgePayload{UserErrors: problems}, err
}

func cacheErrors(err error) ([]*generated.CacheError, error) {
	return shown(err, func(p *problem.Error) *generated.CacheError {
		return &generated.CacheError{Message: p.Message, Path: p.Path, Code: generated.CacheErrorCode(p.Code)}
	})
}
