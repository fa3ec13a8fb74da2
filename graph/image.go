package graph

// The mutation imageUpload, and Image.url.

import (
	"context"

	"stoa/graph/generated"
	"stoa/store"
)

func (m mutation) ImageUpload(ctx context.Context, in generated.ImageUploadInput) (*generated.ImageUploadPayload, error) {
	made, errs, err := orMediaErrors(m.Pictures.Upload(ctx, in.File.File, in.Alt, in.IdempotencyKey))
	return &generated.ImageUploadPayload{Image: made, UserErrors: errs}, err
}

func (r image) URL(_ context.Context, i *store.Image, width *int) (string, error) {
	return r.Pictures.URL(i, width)
}
