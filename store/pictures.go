package store

// Uploaded pictures: reads and writes. Entry points: Pictures, Store.Pictures, Store.AddPicture.

import (
	"context"

	"stoa/id"
)

// Pictures are the uploaded pictures. They have no node(id:).
var Pictures = &Kind[Picture]{
	ID: id.Image, Name: "picture", Collection: pictures, Private: true,
	Size:      func(p *Picture) int64 { return int64(400 + len(p.Alt) + 8*len(p.Widths)) },
	VisibleTo: (*Picture).VisibleTo,
}

// Pictures returns the uploaded pictures with ids that the viewer may use, in their order: nil for
// the others.
func (s *Store) Pictures(ctx context.Context, ids []id.ID) ([]*Picture, error) {
	return Pictures.For(ctx, s, ids)
}

// AddPicture stores a new picture; Conflict if it was added before.
func (s *Store) AddPicture(ctx context.Context, p *Picture) error {
	return s.write(ctx, []string{string(p.ID)}, func(ctx context.Context) error {
		if _, err := s.collection(pictures).InsertOne(ctx, p); err != nil {
			return conflict(err, "the picture")
		}
		return nil
	})
}
