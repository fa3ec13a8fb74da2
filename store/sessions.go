package store

// Sessions: the devices that have signed in. Entry point: Sessions.

import "stoa/id"

// Sessions are the devices that have signed in.
var Sessions = &Kind[Session]{
	ID: id.Session, Name: "session", Collection: sessions, Private: true,
	Size:    func(x *Session) int64 { return int64(300 + len(x.Device) + len(x.Address)) },
	ReadFor: sessionsFor,
	Indexes: []index{{fields: []string{"accountId", "ended", "createdAt", "_id"}}, {fields: []string{"endsAt"}}, {fields: []string{"ended", "createdAt"}}},
}
