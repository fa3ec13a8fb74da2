package store

// Accounts, their sessions, mail codes and outgoing mails: reads and writes. Entry points: the
// methods of Store; Identify is for authentication, Sweep deletes everything that has ended.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/meter"
	"stoa/problem"
	"stoa/store/cache"
)

// Accounts are the accounts. How they are written is in accounts.go.
var Accounts = &Kind[Account]{
	ID: id.Account, Name: "account", Collection: accounts, Private: true,
	Size:    func(a *Account) int64 { return int64(250 + len(a.Email) + len(a.Name)) },
	ReadFor: accountsFor,
	Indexes: []index{{fields: []string{"email"}, unique: true}, {fields: []string{"createdAt", "_id"}}, {fields: []string{"role", "createdAt", "_id"}}},
}

// accountsFor returns the accounts with ids that the viewer may see, in their order: nil for the
// others. For a viewer without an account it reads nothing.
func accountsFor(ctx context.Context, s *Store, k *Kind[Account], ids []id.ID) ([]*Account, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil || !v.SignedIn() {
		return make([]*Account, len(ids)), err
	}
	return k.that(ctx, s, ids, func(a *Account) bool { return a.VisibleTo(v) })
}

// AccountFilter selects the accounts of a list; every condition set must be met.
type AccountFilter struct {
	Email *string // in its canonical form
	Role  *access.Role
}

// ListAccounts returns a part of the list of the accounts that the viewer may see and that
// meet f, the oldest first.
func (s *Store) ListAccounts(ctx context.Context, f AccountFilter, w Window) (*List, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	q := query{collection: accounts, filter: accountsVisibleTo(v), sort: "createdAt", tags: []string{listTag(accounts)}}
	if f.Email != nil {
		q.filter = append(q.filter, bson.E{Key: "email", Value: *f.Email})
	}
	if f.Role != nil {
		q.filter = append(q.filter, bson.E{Key: "role", Value: *f.Role})
	}
	return s.list(q, w)
}

// Identify returns sessions with their accounts, without an access check: authentication uses it. A
// missing session is nil, and so is its account; so is a missing account. The caller decides
// whether a session is valid. It waits for the database even where other reads only look into
// memory, because each request identifies its viewer once.
func (s *Store) Identify(ctx context.Context, ids []id.ID) ([]*Session, []*Account, error) {
	access.MarkPrivate(ctx)
	ctx = cache.Waiting(ctx)
	found, err := Sessions.any(ctx, s, ids)
	if err != nil {
		return nil, nil, err
	}
	of, at := make([]id.ID, 0, len(found)), make([]int, 0, len(found))
	for i, x := range found {
		if x != nil {
			of, at = append(of, x.AccountID), append(at, i)
		}
	}
	owners := make([]*Account, len(ids))
	known, err := Accounts.any(ctx, s, of)
	for i, a := range known {
		owners[at[i]] = a
	}
	return found, owners, err
}

// SecretOf returns an account with its password hash, as it is in the database now, or NotFound.
func (s *Store) SecretOf(ctx context.Context, account id.ID) (*Secret, error) {
	return s.secret(ctx, bson.D{{Key: "_id", Value: account}})
}

// SecretByEmail is SecretOf by the canonical form of an address. It takes one command and one
// look-up in an index, for an unknown address, too.
func (s *Store) SecretByEmail(ctx context.Context, email string) (*Secret, error) {
	return s.secret(ctx, bson.D{{Key: "email", Value: email}})
}

func (s *Store) secret(ctx context.Context, filter bson.D) (*Secret, error) {
	access.MarkPrivate(ctx)
	meter.From(ctx).Command(1, 0) // there or not: the units of a sign-in don't tell if there is an account
	found, err := find[Secret](meter.Uncounted(ctx), s.db.Collection(accounts), filter, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "there is no such account")
	}
	return found[0], nil
}

// accountKeys are the keys that a change of a makes stale. A change that ends its sessions makes
// these stale, too.
func accountKeys(a *Account) []string {
	return append(listKeys(a.ID), string(a.ID), listTag(accounts))
}

// AddAccount stores a new account; Conflict if the address has one already, or if the account was
// added before.
func (s *Store) AddAccount(ctx context.Context, a *Secret) error {
	return s.write(ctx, accountKeys(&a.Account), func(ctx context.Context) error {
		if _, err := s.db.Collection(accounts).InsertOne(ctx, a); err != nil {
			return conflict(err, "the address")
		}
		return nil
	})
}

// ChangeAccount changes before, as it was read, into after, and raises the version of after.
// Conflict if another write came first, or if the address has an account already.
func (s *Store) ChangeAccount(ctx context.Context, before, after *Secret) error {
	after.Version = before.Version + 1
	set := bson.D{
		{Key: "email", Value: after.Email}, {Key: "name", Value: after.Name}, {Key: "role", Value: after.Role},
		{Key: "epoch", Value: after.Epoch}, {Key: "passwordHash", Value: after.PasswordHash}, {Key: "version", Value: after.Version},
	}
	return s.write(ctx, accountKeys(&after.Account), func(ctx context.Context) error {
		result, err := s.db.Collection(accounts).UpdateOne(ctx,
			bson.D{{Key: "_id", Value: before.ID}, {Key: "version", Value: before.Version}}, bson.D{{Key: "$set", Value: set}})
		if err != nil {
			return conflict(err, "the address")
		}
		return changed(result.MatchedCount, nil, "the account")
	})
}

// DeleteAccount deletes an account, unless it has changed since it was read: then Conflict. The
// deletion ends its sessions.
func (s *Store) DeleteAccount(ctx context.Context, a *Account) error {
	return s.write(ctx, accountKeys(a), func(ctx context.Context) error {
		result, err := s.db.Collection(accounts).DeleteOne(ctx, bson.D{{Key: "_id", Value: a.ID}, {Key: "version", Value: a.Version}})
		if err != nil {
			return fmt.Errorf("delete %s: %w", a.ID, err)
		}
		return changed(result.DeletedCount, nil, "the account")
	})
}

// ForgetAccount deletes the remains of a deleted account: its sessions, its mail codes and mails
// and those to its address, and its name in comments. It is safe to repeat.
func (s *Store) ForgetAccount(ctx context.Context, account id.ID, address string) error {
	found, err := find[Session](ctx, s.db.Collection(sessions), bson.D{{Key: "accountId", Value: account}}, nil)
	if err != nil {
		return err
	}
	if err := s.forgetSessions(ctx, found); err != nil {
		return err
	}
	if err := s.forgetAuthor(ctx, account); err != nil {
		return err
	}
	for _, left := range []struct {
		collection, field string
		value             any
	}{{mailCodes, "accountId", account}, {mailCodes, "email", address}, {outgoingMail, "accountId", account}, {outgoingMail, "to", address}} {
		if _, err := s.db.Collection(left.collection).DeleteMany(ctx, bson.D{{Key: left.field, Value: left.value}}); err != nil {
			return fmt.Errorf("delete the %s of %s: %w", left.collection, account, err)
		}
	}
	return nil
}

// sessionsFor returns the valid sessions with ids that the viewer may see, in their order: nil for
// the others.
func sessionsFor(ctx context.Context, s *Store, k *Kind[Session], ids []id.ID) ([]*Session, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil || !v.SignedIn() {
		return make([]*Session, len(ids)), err
	}
	found, err := k.any(ctx, s, ids)
	if err != nil {
		return nil, err
	}
	owner, err := Accounts.any(ctx, s, []id.ID{v.Account})
	if err != nil {
		return nil, err
	}
	for i, x := range found {
		if x != nil && (!x.VisibleTo(v) || owner[0] == nil || !x.StandsFor(owner[0], time.Now())) {
			found[i] = nil
		}
	}
	return found, nil
}

// AddSession stores a new session; Conflict if it was added before.
func (s *Store) AddSession(ctx context.Context, x *Session) error {
	return s.write(ctx, sessionKeys(x), func(ctx context.Context) error {
		if _, err := s.db.Collection(sessions).InsertOne(ctx, x); err != nil {
			return conflict(err, "the session")
		}
		return nil
	})
}

func sessionKeys(xs ...*Session) []string {
	keys := []string{}
	for _, x := range xs {
		keys = append(append(keys, string(x.ID)), listKeys(x.AccountID)...)
	}
	return compact(keys)
}

// SessionsUnder returns the sessions of an account that aren't ended, the newest first, as they are
// in the database now.
func (s *Store) SessionsUnder(ctx context.Context, account id.ID) ([]*Session, error) {
	access.MarkPrivate(ctx)
	found, err := find[Session](ctx, s.db.Collection(sessions), sessionsOf([]id.ID{account}), nil)
	slices.SortFunc(found, func(a, b *Session) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return found, err
}

// EndSessions ends sessions and empties device and address. The documents stay for a while: see
// Session.
func (s *Store) EndSessions(ctx context.Context, xs []*Session) error {
	if len(xs) == 0 {
		return nil
	}
	return s.write(ctx, sessionKeys(xs...), func(ctx context.Context) error {
		_, err := s.db.Collection(sessions).UpdateMany(ctx, in("_id", sessionIDs(xs)),
			bson.D{{Key: "$set", Value: bson.D{{Key: "ended", Value: true}, {Key: "device", Value: ""}, {Key: "address", Value: ""}}}})
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return nil
	})
}

func sessionIDs(xs []*Session) []id.ID {
	ids := make([]id.ID, len(xs))
	for i, x := range xs {
		ids[i] = x.ID
	}
	return ids
}

// writtenAtOnce is the number of documents that one write changes, so that it ends in time.
const writtenAtOnce = 1000

func (s *Store) forgetSessions(ctx context.Context, all []*Session) error {
	for xs := range slices.Chunk(all, writtenAtOnce) {
		if err := s.forgetSome(ctx, xs); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forgetSome(ctx context.Context, xs []*Session) error {
	return s.write(ctx, sessionKeys(xs...), func(ctx context.Context) error {
		ids := sessionIDs(xs)
		for _, collection := range []string{lastUses, sessions} {
			if _, err := s.db.Collection(collection).DeleteMany(ctx, in("_id", ids)); err != nil {
				return fmt.Errorf("delete from %s: %w", collection, err)
			}
		}
		return nil
	})
}

// LastUses returns the last use of each session, as it is in the database now: nil for a
// session that wasn't used since it began.
func (s *Store) LastUses(ctx context.Context, ids []id.ID) ([]*LastUse, error) {
	access.MarkPrivate(ctx)
	found, err := find[LastUse](ctx, s.db.Collection(lastUses), in("_id", ids), nil)
	out := make([]*LastUse, len(ids))
	for _, u := range found {
		for i, k := range ids {
			if k == u.Session {
				out[i] = u
			}
		}
	}
	return out, err
}

// RecordLastUses records the last use of sessions, in one command: each at most once in spacing,
// over all replicas. No cache has last uses, so none becomes stale.
func (s *Store) RecordLastUses(ctx context.Context, at map[id.ID]time.Time, spacing time.Duration) error {
	if len(at) == 0 {
		return nil
	}
	var updates []mongo.WriteModel
	for session, used := range at {
		updates = append(updates, mongo.NewUpdateOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: "_id", Value: session}, {Key: "at", Value: bson.D{{Key: "$lte", Value: used.Add(-spacing)}}}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: used}}}}))
	}
	_, err := s.db.Collection(lastUses).BulkWrite(ctx, updates, options.BulkWrite().SetOrdered(false))
	if err != nil && !mongo.IsDuplicateKeyError(err) { // a younger one is stored already
		return fmt.Errorf("record the last use of sessions: %w", err)
	}
	return nil
}

// AddMailCode stores a mail code.
func (s *Store) AddMailCode(ctx context.Context, c *MailCode) error {
	if _, err := s.db.Collection(mailCodes).InsertOne(ctx, c); err != nil {
		return fmt.Errorf("add a mail code: %w", err)
	}
	return nil
}

// MailCode returns the mail code of a kind with a hash, as it is in the database now, unless it has
// ended at now; NotFound if there is none.
func (s *Store) MailCode(ctx context.Context, kind MailCodeKind, hash string, now time.Time) (*MailCode, error) {
	access.MarkPrivate(ctx)
	found, err := find[MailCode](ctx, s.db.Collection(mailCodes), bson.D{{Key: "_id", Value: hash}}, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Kind != kind || !now.Before(found[0].EndsAt) {
		return nil, problem.New(problem.NotFound, "there is no such code")
	}
	return found[0], nil
}

// DeleteMailCode deletes a mail code, and reports whether this call did: of several calls, one
// does.
func (s *Store) DeleteMailCode(ctx context.Context, hash string) (bool, error) {
	result, err := s.db.Collection(mailCodes).DeleteOne(ctx, bson.D{{Key: "_id", Value: hash}})
	if err != nil {
		return false, fmt.Errorf("delete a mail code: %w", err)
	}
	return result.DeletedCount == 1, nil
}

// HasMail reports whether a mail exists, or existed.
func (s *Store) HasMail(ctx context.Context, mail id.ID) (bool, error) {
	found, err := find[OutgoingMail](ctx, s.db.Collection(outgoingMail), bson.D{{Key: "_id", Value: mail}}, nil)
	return len(found) > 0, err
}

// AddMail stores a mail to be sent. A mail that was added before is left unchanged.
func (s *Store) AddMail(ctx context.Context, l *OutgoingMail) error {
	return s.write(ctx, []string{outgoingKey}, func(ctx context.Context) error {
		_, err := s.db.Collection(outgoingMail).InsertOne(ctx, l)
		if err != nil && !mongo.IsDuplicateKeyError(err) {
			return fmt.Errorf("add a mail: %w", err)
		}
		return nil
	})
}

// NextMail returns the due time of the next mail; ok is false if there is none.
func (s *Store) NextMail(ctx context.Context) (at time.Time, ok bool, err error) {
	return s.nextDue(ctx, outgoingKey)
}

// DueMails returns the mails due at now, at most a hundred.
func (s *Store) DueMails(ctx context.Context, now time.Time) ([]*OutgoingMail, error) {
	return find[OutgoingMail](ctx, s.db.Collection(outgoingMail),
		bson.D{{Key: "nextAt", Value: bson.D{{Key: "$gt", Value: time.Time{}}, {Key: "$lte", Value: now}}}},
		options.Find().SetSort(bson.D{{Key: "nextAt", Value: 1}}).SetLimit(MaxPageSize))
}

// TakeMail reserves l, as it was read, for the caller until a time; false if another replica has
// taken it.
func (s *Store) TakeMail(ctx context.Context, l *OutgoingMail, until time.Time) (bool, error) {
	taken := false
	err := s.write(ctx, []string{outgoingKey}, func(ctx context.Context) error {
		result, err := s.db.Collection(outgoingMail).UpdateOne(ctx,
			bson.D{{Key: "_id", Value: l.ID}, {Key: "attempts", Value: l.Attempts}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "nextAt", Value: until}, {Key: "attempts", Value: l.Attempts + 1}}}})
		if err != nil {
			return fmt.Errorf("take a mail: %w", err)
		}
		taken = result.MatchedCount == 1
		return nil
	})
	return taken, err
}

// RescheduleMail sets the time of the next attempt to send a mail.
func (s *Store) RescheduleMail(ctx context.Context, mail id.ID, until time.Time) error {
	return s.changeMail(ctx, mail, bson.D{{Key: "$set", Value: bson.D{{Key: "nextAt", Value: until}}}})
}

// CloseMail records that a mail was sent, or never will be, and deletes its content.
func (s *Store) CloseMail(ctx context.Context, mail id.ID) error {
	return s.changeMail(ctx, mail, bson.D{{Key: "$unset", Value: bson.D{
		{Key: "nextAt", Value: ""}, {Key: "passwordHash", Value: ""}, {Key: "name", Value: ""}, {Key: "other", Value: ""},
	}}, {Key: "$set", Value: bson.D{{Key: "to", Value: ""}}}})
}

func (s *Store) changeMail(ctx context.Context, mail id.ID, change bson.D) error {
	return s.write(ctx, []string{outgoingKey}, func(ctx context.Context) error {
		if _, err := s.db.Collection(outgoingMail).UpdateOne(ctx, bson.D{{Key: "_id", Value: mail}}, change); err != nil {
			return fmt.Errorf("change a mail: %w", err)
		}
		return nil
	})
}

// Sweep deletes everything that has ended by now: sessions, a day after they were made at the
// earliest; mail codes; the remains of mails and idempotency records. It ends sessions without a
// use since idle. The next sweep deletes the documents that this one can't.
func (s *Store) Sweep(ctx context.Context, now, idle time.Time) error {
	return errors.Join(
		s.endIdle(ctx, idle),
		s.sweepSessions(ctx, bson.D{{Key: "endsAt", Value: bson.D{{Key: "$lte", Value: now}}}}),
		s.sweepSessions(ctx, bson.D{{Key: "ended", Value: true}, {Key: "createdAt", Value: bson.D{{Key: "$lte", Value: now.Add(-idempotencyFor)}}}}),
		s.sweep(ctx, mailCodes, "endsAt", now),
		s.sweep(ctx, outgoingMail, "createdAt", now.Add(-2*idempotencyFor)), // later than the records with their ids
		s.sweep(ctx, idempotency, "at", now.Add(-idempotencyFor)),
	)
}

// endIdle ends the sessions that were last used at idle or before.
func (s *Store) endIdle(ctx context.Context, idle time.Time) error {
	unused, err := find[LastUse](ctx, s.db.Collection(lastUses), bson.D{{Key: "at", Value: bson.D{{Key: "$lte", Value: idle}}}}, nil)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(unused, writtenAtOnce) {
		ids := make([]id.ID, len(some))
		for i, u := range some {
			ids[i] = u.Session
		}
		found, err := find[Session](ctx, s.db.Collection(sessions), in("_id", ids), nil)
		if err != nil {
			return err
		}
		if err := s.EndSessions(ctx, found); err != nil {
			return err
		}
		if _, err := s.db.Collection(lastUses).DeleteMany(ctx, in("_id", ids)); err != nil {
			return fmt.Errorf("sweep last uses: %w", err)
		}
	}
	return nil
}

func (s *Store) sweepSessions(ctx context.Context, filter bson.D) error {
	found, err := find[Session](ctx, s.db.Collection(sessions), filter, nil)
	if err != nil {
		return err
	}
	return s.forgetSessions(ctx, found)
}

// sweep deletes the documents of a collection with a time in field no later than before.
func (s *Store) sweep(ctx context.Context, collection, field string, before time.Time) error {
	_, err := s.db.Collection(collection).DeleteMany(ctx, bson.D{{Key: field, Value: bson.D{{Key: "$lte", Value: before}}}})
	if err != nil {
		return fmt.Errorf("sweep %s: %w", collection, err)
	}
	return nil
}

// HasAccount reports whether an account exists in the database now, without an access check.
func (s *Store) HasAccount(ctx context.Context, account id.ID) (bool, error) {
	access.MarkPrivate(ctx)
	found, err := find[Account](ctx, s.db.Collection(accounts), bson.D{{Key: "_id", Value: account}}, projection("_id"))
	return len(found) > 0, err
}
