// Package account is who you are: registration, passwords, sessions, and the mails that go
// with them.
//
// Nothing that is answered tells, by what it says or how long it takes, whether an address
// has an account: what depends on that is done by Run, after the answer.
//
// It may import access, id, mail, problem, rate, store and its own sub-packages. Entry
// points: New, the methods of People, Run.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/access"
	"stoa/account/email"
	"stoa/account/password"
	"stoa/id"
	"stoa/mail"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
)

const (
	// MaxName is the longest name of an account, in characters.
	MaxName = 100

	// attempts is how often a change is tried again because somebody else changed the
	// account in between.
	attempts = 5
)

// Options says what accounts are kept with.
type Options struct {
	Store   *store.Store
	Hasher  *password.Hasher
	Mailer  *mail.Mailer
	Limiter *rate.Limiter
	// Site is the host of the front end. It is no password.
	Site string
	// MinPassword is the shortest password, in characters.
	MinPassword int
	// Idle is how long a session lasts unused, Longest how long at most.
	Idle, Longest time.Duration
	Log           *slog.Logger
}

// People is everybody who can sign in.
type People struct {
	store   *store.Store
	hasher  *password.Hasher
	mailer  *mail.Mailer
	limiter *rate.Limiter
	site    string
	minimum int
	idle    time.Duration
	longest time.Duration
	log     *slog.Logger
	uses    *uses
}

// New returns the people whose accounts are in o.Store.
func New(o Options) *People {
	return &People{
		store: o.Store, hasher: o.Hasher, mailer: o.Mailer, limiter: o.Limiter, site: o.Site, minimum: o.MinPassword,
		idle: o.Idle, longest: o.Longest, log: o.Log, uses: newUses(),
	}
}

// Registration is what somebody registers with.
type Registration struct {
	Email          string
	Password       string
	Name           string
	IdempotencyKey *string
}

// Register has a mail sent to the address: one that makes the account, or one that says
// there is one already. The caller can't tell which.
func (p *People) Register(ctx context.Context, in Registration) error {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return at(err, "email")
	}
	name, err := checkName(in.Name)
	if err != nil {
		return err
	}
	if err := p.checkPassword(in.Password, address, name); err != nil {
		return at(err, "password")
	}
	if err := p.throttleMail(ctx, address); err != nil {
		return err
	}
	hash, err := p.hasher.Hash(ctx, in.Password)
	if err != nil {
		return err
	}
	return p.write(ctx, "register/"+address, "accountRegister", in.IdempotencyKey, []string{address, name, in.Password}, &store.Letter{
		Kind: store.RegisterLetter, To: address, Name: name, PasswordHash: hash,
	})
}

// Coming is a code that a mail brought.
type Coming struct{ Token string }

// Verify makes the account that was registered, once for a code. Token when there is no
// such code, or when the address got an account by another one in the meantime.
func (p *People) Verify(ctx context.Context, in Coming) (*store.Account, error) {
	code, err := p.code(ctx, store.VerifyCode, in.Token)
	if err != nil {
		return nil, err
	}
	made := code.EndsAt.Add(-verifyFor)
	// The id follows from the code, so that whoever comes back after a crash, or twice at
	// once, makes one account.
	account := &store.Secret{PasswordHash: code.PasswordHash, Account: store.Account{
		ID: id.Derived(id.Account, made, code.Hash), Email: code.Email, Name: code.Name, Role: access.Customer, CreatedAt: now(), Version: 1,
	}}
	err = p.store.AddAccount(ctx, account)
	if problem.Is(err, problem.Conflict) {
		there, err := p.store.SecretByEmail(ctx, code.Email)
		if problem.Is(err, problem.NotFound) || err == nil && there.ID != account.ID {
			return nil, invalidToken()
		}
		if err != nil {
			return nil, err
		}
		account = there
	} else if err != nil {
		return nil, err
	}
	_, err = p.store.DeleteCode(ctx, code.Hash)
	return &account.Account, err
}

// Update is what an account changes of itself; nil for what stays.
type Update struct{ Name *string }

// Update changes the viewer's account.
func (p *People) Update(ctx context.Context, in Update) (*store.Account, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return nil, err
	}
	var name string
	if in.Name != nil {
		if name, err = checkName(*in.Name); err != nil {
			return nil, err
		}
	}
	return p.change(ctx, v.Account, func(s *store.Secret) error {
		if in.Name != nil {
			s.Name = name
		}
		return nil
	})
}

// Deletion is what it takes to delete an account.
type Deletion struct{ Password string }

// Delete deletes the viewer's account and what is known of its devices.
func (p *People) Delete(ctx context.Context, in Deletion) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	secret, err := p.confirm(ctx, v.Account, in.Password)
	if err != nil {
		return at(err, "password")
	}
	// What hangs on the account goes first: if this ends in between, the account is still
	// there to be deleted again.
	if err := p.store.ForgetAccount(ctx, v.Account); err != nil {
		return err
	}
	if err := p.store.DeleteAccount(ctx, &secret.Account); err != nil {
		return err
	}
	access.Become(ctx, access.Viewer{})
	access.Keep(ctx, access.Cookie{})
	return p.store.ForgetAccount(ctx, v.Account) // of those that signed in meanwhile
}

// RoleChange gives an account a role.
type RoleChange struct {
	AccountID id.ID
	Role      access.Role
}

// SetRole gives an account a role, for administrators; its sessions end where that changes
// anything. Nobody changes their own: so there is always an administrator.
func (p *People) SetRole(ctx context.Context, in RoleChange) (*store.Account, error) {
	v, err := access.Require(ctx, access.Admin)
	if err != nil {
		return nil, err
	}
	if v.Is(in.AccountID) {
		return nil, problem.New(problem.Forbidden, "you can't change your own role: ask another administrator").At("accountId")
	}
	changed, err := p.change(ctx, in.AccountID, func(s *store.Secret) error {
		setRole(s, in.Role)
		return nil
	})
	return changed, at(err, "accountId")
}

func setRole(s *store.Secret, r access.Role) {
	if s.Role != r {
		s.Role = r
		s.Epoch++
	}
}

// MakeAdmin makes whoever has an address an administrator. Where there was no account it
// makes one and returns the code that sets its password.
func (p *People) MakeAdmin(ctx context.Context, address string) (code string, err error) {
	address, err = email.Canonical(address)
	if err != nil {
		return "", err
	}
	there, err := p.store.SecretByEmail(ctx, address)
	if problem.Is(err, problem.NotFound) {
		there = &store.Secret{Account: store.Account{ID: id.New(id.Account), Email: address, Role: access.Admin, CreatedAt: now(), Version: 1}}
		err = p.store.AddAccount(ctx, there)
	}
	if err != nil {
		return "", err
	}
	changed, err := p.change(ctx, there.ID, func(s *store.Secret) error { setRole(s, access.Admin); return nil })
	if err != nil || there.PasswordHash != "" {
		return "", err
	}
	code, sealed := newCode()
	return code, p.store.AddCode(ctx, &store.Code{
		Hash: sealed, Kind: store.ResetCode, AccountID: changed.ID, Epoch: changed.Epoch, Email: address, EndsAt: now().Add(verifyFor),
	})
}

// Find returns the accounts and sessions with ids that the viewer may see.
func (p *People) Find(ctx context.Context, ids []id.ID, found map[id.ID]store.Node) error {
	return errors.Join(
		store.Gather(ctx, found, ids, id.Account, p.store.Accounts),
		store.Gather(ctx, found, ids, id.Session, p.store.Sessions),
	)
}

// Account returns the account with an id; NotFound where the viewer may see none.
func (p *People) Account(ctx context.Context, i id.ID) (*store.Account, error) {
	found, err := p.store.Accounts(ctx, []id.ID{i})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such account")
	}
	return found[0], nil
}

// Where says which accounts a list has; every condition that isn't nil must be met.
type Where struct {
	Email *string
	Role  *access.Role
}

// Accounts returns a part of the list of all accounts, the oldest first, for administrators.
func (p *People) Accounts(ctx context.Context, where *Where, w store.Window) (*store.List, error) {
	if _, err := access.Require(ctx, access.Admin); err != nil {
		return nil, err
	}
	var f store.AccountFilter
	if where != nil {
		f.Role = where.Role
		if where.Email != nil {
			address, err := email.Canonical(*where.Email)
			if err != nil {
				return nil, at(err, "where", "email")
			}
			f.Email = &address
		}
	}
	return p.store.ListAccounts(ctx, f, w)
}

// change turns an account, as it is in the database, into what by makes of it. Where by
// raises its epoch, its sessions have ended when change returns.
func (p *People) change(ctx context.Context, account id.ID, by func(*store.Secret) error) (*store.Account, error) {
	for try := 0; ; try++ {
		before, err := p.store.SecretOf(ctx, account)
		if err != nil {
			return nil, err
		}
		after := *before
		if err := by(&after); err != nil {
			return nil, err
		}
		if after == *before {
			return &before.Account, nil
		}
		err = p.store.ChangeAccount(ctx, before, &after)
		if problem.Is(err, problem.Conflict) && after.Email == before.Email && try < attempts {
			continue
		}
		if err != nil {
			return nil, err
		}
		if after.Epoch != before.Epoch {
			p.clear(ctx, &after.Account)
		}
		return &after.Account, nil
	}
}

// clear forgets the devices of sessions that have ended with an account's epoch. That they
// have ended doesn't depend on it.
func (p *People) clear(ctx context.Context, account *store.Account) {
	there, err := p.store.SessionsUnder(ctx, account.ID)
	if err == nil {
		ended := there[:0]
		for _, x := range there {
			if x.Epoch < account.Epoch {
				ended = append(ended, x)
			}
		}
		err = p.store.EndSessions(ctx, ended)
	}
	if err != nil {
		p.log.Warn("what is known of ended sessions can't be deleted for now", "account", account.ID, "error", err)
	}
}

// checkName returns a name as it is kept.
func checkName(name string) (string, error) {
	name = norm.NFC.String(strings.TrimSpace(name))
	if n := utf8.RuneCountInString(name); n == 0 || n > MaxName {
		return "", problem.New(problem.Invalid, "name takes 1 to %d characters, not %d", MaxName, n).At("name")
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError
	}) {
		return "", problem.New(problem.Invalid, "name takes letters, digits, spaces and punctuation, no control characters").At("name")
	}
	return name, nil
}

// checkPassword refuses a password that is too easily guessed for who has an address and a name.
func (p *People) checkPassword(secret, address, name string) error {
	return password.Check(secret, p.minimum, address, name, p.site, "stoa")
}

// at adds where in the input a problem is, unless it says so itself.
func at(err error, path ...string) error {
	var refused *problem.Error
	if errors.As(err, &refused) && len(refused.Path) == 0 {
		return refused.At(path...)
	}
	return err
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// write stores a letter that a mutation asks for: once for an idempotency key, where there
// is one. The caller must be known to nobody else, or be the address that is written to.
func (p *People) write(ctx context.Context, caller, mutation string, key *string, input []string, l *store.Letter) error {
	l.CreatedAt = now()
	l.ID = id.At(id.Letter, l.CreatedAt)
	if key != nil {
		claim := store.Claim{Caller: caller, Key: *key, Mutation: mutation, Input: input}
		at, err := p.store.Claim(ctx, claim)
		if err != nil {
			return err
		}
		l.CreatedAt, l.ID = at, id.Derived(id.Letter, at, claim.Seed())
	}
	l.NextAt = now()
	if err := p.store.AddLetter(ctx, l); err != nil {
		return fmt.Errorf("%s: %w", mutation, err)
	}
	return nil
}
