package store

// Accounts: reads and writes. Entry points: Accounts; Store.Identify for authentication;
// Store.AddAccount, ChangeAccount, DeleteAccount and ForgetAccount; Store.Sweep, which deletes everything
// of accounts that has ended.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

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
	found, err := find[Secret](meter.Uncounted(ctx), s.collection(accounts), filter, nil)
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
		if _, err := s.collection(accounts).InsertOne(ctx, a); err != nil {
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
		result, err := s.collection(accounts).UpdateOne(ctx,
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
		result, err := s.collection(accounts).DeleteOne(ctx, bson.D{{Key: "_id", Value: a.ID}, {Key: "version", Value: a.Version}})
		if err != nil {
			return fmt.Errorf("delete %s: %w", a.ID, err)
		}
		return changed(result.DeletedCount, nil, "the account")
	})
}

// ForgetAccount deletes the remains of a deleted account: its sessions, its mail codes and mails
// and those to its address, and its name in comments. It is safe to repeat.
func (s *Store) ForgetAccount(ctx context.Context, account id.ID, address string) error {
	found, err := findList[Session](ctx, s.collection(sessions), bson.D{{Key: "accountId", Value: account}}, nil)
	if err != nil {
		return err
	}
	if err := s.forgetSessions(ctx, found); err != nil {
		return err
	}
	if err := s.forgetAuthor(ctx, account); err != nil {
		return err
	}
	return s.forgetMails(ctx, account, address)
}

// Sweep deletes everything that has ended by now: sessions, a day after they were made at the
// earliest; mail codes; the remains of mails and idempotency records. It ends sessions without a
// use since idle. The next sweep deletes the documents that this one can't.
func (s *Store) Sweep(ctx context.Context, now, idle time.Time) error {
	return errors.Join(
		s.endIdle(ctx, idle),
		s.sweepSessions(ctx, bson.D{{Key: "endsAt", Value: bson.D{{Key: "$lte", Value: now}}}}),
		s.sweepSessions(ctx, bson.D{{Key: "ended", Value: true}, {Key: "createdAt", Value: bson.D{{Key: "$lte", Value: now.Add(-idempotencyFor)}}}}),
		s.sweepUncached(ctx, now),
	)
}

// HasAccount reports whether an account exists in the database now, without an access check.
func (s *Store) HasAccount(ctx context.Context, account id.ID) (bool, error) {
	access.MarkPrivate(ctx)
	found, err := find[Account](ctx, s.collection(accounts), bson.D{{Key: "_id", Value: account}}, projection("_id"))
	return len(found) > 0, err
}
