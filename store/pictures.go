package store

// Uploaded pictures: reads and writes. Entry points: Store.Pictures, Store.AddPicture.

import (
	"context"

	"stoa/id"
)

// Pictures returns the uploaded pictures with ids that the viewer may use, in their order: nil for
// the others.
func (s *Store) Pictures(ctx context.Context, ids []id.ID) ([]*Picture, error) {
	return Pictures.For(ctx, s, ids)
}

// AddPicture stores a new picture; Conflict if it was added before.
func (s *Store) AddPicture(ctx context.Context, p *Picture) error {
	return s.write(ctx, []string{string(p.ID)}, func(ctx context.Context) error {
		if _, err := s.db.Collection(pictures).InsertOne(ctx, p); err != nil {
			return conflict(err, "the picture")
		}
		return nil
	})
}
