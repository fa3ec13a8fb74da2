// Package account registers people, signs them in, and manages their passwords, addresses,
// roles and sessions, with the mails that these need.
//
// Neither the content nor the duration of a response reveals if an address has an account:
// everything that depends on it is done by Run, after the response.
//
// It may import access, background, edit, id, mail, problem, rate, store and its own sub-packages.
// Entry points: New, the methods of Service, Run.
package account

import (
	"context"
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
	"stoa/background"
	"stoa/edit"
	"stoa/id"
	"stoa/mail"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
)

const (
	// MaxName is the longest name of an account, in characters.
	MaxName = 100

	// attempts bounds the attempts at one change of an account, if another writer changes the
	// account before each of them.
	attempts = 5

	// finishLimit bounds the time that a started change has to finish after its client has
	// disconnected.
	finishLimit = 10 * time.Second
)

// Options configures the accounts service.
type Options struct {
	Store   *store.Store
	Hasher  *password.Hasher
	Mailer  *mail.Mailer
	Limiter *rate.Limiter
	// Host is the host name of the front end. No password may be equal to it.
	Host string
	// MinPassword is the shortest password, in characters.
	MinPassword int
	// Idle is the time after which an unused session ends. Longest is the lifetime of a
	// session in use.
	Idle, Longest time.Duration
	Log           *slog.Logger
}

// Service is the accounts service: registration, sessions, passwords and roles.
type Service struct {
	store    *store.Store
	hasher   *password.Hasher
	mailer   *mail.Mailer
	limiter  *rate.Limiter
	host     string
	minimum  int
	idle     time.Duration
	longest  time.Duration
	log      *slog.Logger
	lastUses *lastUses

	background *background.Group
}

// New returns the service over the accounts in o.Store.
func New(o Options) *Service {
	p := &Service{
		store: o.Store, hasher: o.Hasher, mailer: o.Mailer, limiter: o.Limiter, host: o.Host, minimum: o.MinPassword,
		idle: o.Idle, longest: o.Longest, log: o.Log, lastUses: newLastUses(),
	}
	p.background = background.New(o.Log, p.tasks()...)
	return p
}

// Registration is the input of Register.
type Registration struct {
	Email          string
	Password       string
	Name           string
	IdempotencyKey *string
}

// Register sends a mail to the address. The mail has a code that creates the account, or says
// that an account exists already. The caller can't tell one from the other. An address, name
// or password that is not allowed is Invalid; too many attempts are Throttled.
func (p *Service) Register(ctx context.Context, in Registration) error {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return problem.Locate(err, "email")
	}
	name, err := checkName(in.Name)
	if err != nil {
		return err
	}
	if err := p.checkPassword(in.Password, address, name); err != nil {
		return problem.Locate(err, "password")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return err
	}
	if err := p.throttleAsking(ctx, address); err != nil {
		return err
	}
	var hash string
	if in.IdempotencyKey == nil {
		hash, err = p.hasher.Hash(ctx, in.Password)
	} else {
		// An equal call must give an equal hash, because the idempotency record stores the
		// input. Guessing a password from that record costs as much as from the account.
		hash, err = p.hasher.HashAgain(ctx, in.Password, address+"\x00"+*in.IdempotencyKey)
	}
	if err != nil {
		return problem.Locate(err, "password")
	}
	return p.write(ctx, "register/"+address, "accountRegister", in.IdempotencyKey, []string{address, name, hash}, &store.OutgoingMail{
		Kind: store.RegisterMail, To: address, Name: name, PasswordHash: hash,
	})
}

// Coming is the code from a mail.
type Coming struct{ Token string }

// Verify creates the registered account, once per code. It returns the code Token if there is
// no such code, or if the address has meanwhile got an account by another code.
func (p *Service) Verify(ctx context.Context, in Coming) (*store.Account, error) {
	code, err := p.mailCode(ctx, store.CodeToVerify, in.Token)
	if err != nil {
		return nil, err
	}
	made := code.EndsAt.Add(-verifyFor)
	// The id is derived from the code, so a repetition after a crash and two calls at the same
	// time create one account.
	account := &store.Secret{PasswordHash: code.PasswordHash, Account: store.Account{
		ID: id.Derived(id.Account, made, code.Hash), Email: code.Email, Name: code.Name, Role: access.Customer, CreatedAt: store.Now(), Version: 1,
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
	_, err = p.store.DeleteMailCode(ctx, code.Hash)
	return &account.Account, err
}

// Update is the input of Service.Update; a nil field stays as it is.
type Update struct{ Name *string }

// Update changes the viewer's account and returns it as it is afterwards.
func (p *Service) Update(ctx context.Context, in Update) (*store.Account, error) {
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

// Deletion is the input of Delete: the password confirms it.
type Deletion struct{ Password string }

// Delete deletes the viewer's account with its sessions, last uses and mails. A wrong password
// is Credentials; a password or role changed at the same time is Conflict.
func (p *Service) Delete(ctx context.Context, in Deletion) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	secret, err := p.confirm(ctx, v, in.Password)
	if err != nil {
		return problem.Locate(err, "password")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	// Without the account, no session or code is valid. The remaining data about it goes next,
	// or after a crash in between with the next sweep.
	if err := p.store.Begin(ctx, forgetTask+string(v.Account)+"/"+secret.Email); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := p.store.DeleteAccount(ctx, &secret.Account)
		if err == nil {
			break
		}
		epoch := secret.Epoch
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return err
		}
		if secret, err = p.store.SecretOf(ctx, v.Account); err != nil {
			return err
		}
		if secret.Epoch != epoch {
			return problem.New(problem.Conflict, "the account has changed in the meantime: sign in again")
		}
	}
	access.Become(ctx, access.Viewer{})
	access.Keep(ctx, access.Cookie{Kind: access.SessionCookie})
	access.Keep(ctx, access.Cookie{Kind: access.DeviceCookie})
	return p.forget(ctx, v.Account, secret.Email)
}

// forgetTask is the prefix of the tasks that Resume finishes: one for each account with data
// still to delete.
const forgetTask = "forget/"

// forget deletes the sessions, codes, mails and last uses of a deleted account.
func (p *Service) forget(ctx context.Context, account id.ID, address string) error {
	if err := p.store.ForgetAccount(ctx, account, address); err != nil {
		return err
	}
	return p.store.Finish(ctx, forgetTask+string(account)+"/"+address)
}

// Resume finishes the deletions that an earlier process began: it deletes the remaining data
// of accounts that are gone.
func (p *Service) Resume(ctx context.Context) error {
	tasks, err := p.store.Tasks(ctx, forgetTask)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		account, address, _ := strings.Cut(task, "/")
		_, err := p.store.SecretOf(ctx, id.ID(account))
		if problem.Is(err, problem.NotFound) {
			err = p.forget(ctx, id.ID(account), address)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finishing returns a context that outlives the request by at most finishLimit, for a change
// that must not stop half-way when the client disconnects.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
}

// RoleChange gives an account a role.
type RoleChange struct {
	AccountID id.ID
	Role      access.Role
}

// SetRole gives an account a role. It needs an administrator. If the role changes, the
// account's sessions end. Administrators can't change their own role, so that none loses it by
// mistake; MakeAdmin creates the first one, and one more if none is left.
func (p *Service) SetRole(ctx context.Context, in RoleChange) (*store.Account, error) {
	v, err := access.Require(ctx, access.Admin)
	if err != nil {
		return nil, err
	}
	if v.Is(in.AccountID) {
		return nil, problem.New(problem.Forbidden, "you can't change your own role: ask another administrator").At("accountId")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.change(ctx, in.AccountID, func(s *store.Secret) error {
		setRole(s, in.Role)
		return nil
	})
	return changed, problem.Locate(err, "accountId")
}

func setRole(s *store.Secret, r access.Role) {
	if s.Role != r {
		s.Role = r
		s.Epoch++
	}
}

// MakeAdmin gives the account with an address the role ADMIN. If there is no account, it
// creates one and returns the code that sets its password.
func (p *Service) MakeAdmin(ctx context.Context, address string) (code string, err error) {
	address, err = email.Canonical(address)
	if err != nil {
		return "", err
	}
	there, err := p.store.SecretByEmail(ctx, address)
	if problem.Is(err, problem.NotFound) {
		there = &store.Secret{Account: store.Account{ID: id.New(id.Account), Email: address, Role: access.Admin, CreatedAt: store.Now(), Version: 1}}
		err = p.store.AddAccount(ctx, there)
	}
	if err != nil {
		return "", err
	}
	changed, err := p.change(ctx, there.ID, func(s *store.Secret) error { setRole(s, access.Admin); return nil })
	if err != nil || there.PasswordHash != "" {
		return "", err
	}
	code, sealed := newMailCode()
	return code, p.store.AddMailCode(ctx, &store.MailCode{
		Hash: sealed, Kind: store.CodeToReset, AccountID: changed.ID, Epoch: changed.Epoch, Email: address, EndsAt: store.Now().Add(verifyFor),
	})
}

// Account returns the account with an id; NotFound if the viewer may not see it.
func (p *Service) Account(ctx context.Context, i id.ID) (*store.Account, error) {
	found, err := store.Accounts.For(ctx, p.store, []id.ID{i})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such account")
	}
	return found[0], nil
}

// Where filters a list of accounts; an account must meet each condition that isn't nil.
type Where struct {
	Email *string
	Role  *access.Role
}

// Accounts returns a window of the list of all accounts, oldest first. It needs an
// administrator.
func (p *Service) Accounts(ctx context.Context, where *Where, w store.Window) (*store.List, error) {
	if _, err := access.Require(ctx, access.Admin); err != nil {
		return nil, err
	}
	var f store.AccountFilter
	if where != nil {
		f.Role = where.Role
		if where.Email != nil {
			address, err := email.Canonical(*where.Email)
			if err != nil {
				return nil, problem.Locate(err, "where", "email")
			}
			f.Email = &address
		}
	}
	return p.store.ListAccounts(ctx, f, w)
}

// change reads an account from the database, applies by to it and stores the result. If by
// raises the epoch, the account's sessions have ended when change returns.
func (p *Service) change(ctx context.Context, account id.ID, by func(*store.Secret) error) (*store.Account, error) {
	for try := 1; ; try++ {
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

// clear deletes the stored sessions that ended when an account's epoch rose. They are invalid
// with or without it.
func (p *Service) clear(ctx context.Context, account *store.Account) {
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

// checkName returns a name in its stored form: NFC, without spaces around it.
func checkName(name string) (string, error) {
	name = norm.NFC.String(strings.TrimSpace(name))
	if n := utf8.RuneCountInString(name); n == 0 || n > MaxName {
		return "", problem.New(problem.Invalid, "name takes 1 to %d characters, not %d", MaxName, n).At("name")
	}
	if strings.ContainsFunc(name, unnamable) || !strings.ContainsFunc(name, visible) {
		return "", problem.New(problem.Invalid, "name takes letters, digits, spaces and punctuation, but no invisible characters").At("name")
	}
	return name, nil
}

// unnamable says if r is not allowed in a name: control characters, marks that change the
// direction of text or break lines, and invisible characters. The joiners that some scripts
// need are allowed.
func unnamable(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) && r != nonJoiner && r != joiner
}

// visible says if r has a glyph. Some letters of Hangul and Braille are blank.
func visible(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !strings.ContainsRune("\u115f\u1160\u2800\u3164\uffa0", r)
}

// checkPassword refuses a password that is easy to guess for the account with this address and
// name.
func (p *Service) checkPassword(secret, address, name string) error {
	return password.Check(secret, p.minimum, address, name, p.host, "stoa")
}

// write stores an outgoing mail for a mutation and counts it against the limit of its address.
// With an idempotency key it does both once per key.
func (p *Service) write(ctx context.Context, caller, mutation string, key *string, input []string, l *store.OutgoingMail) error {
	origin, err := edit.Begin(ctx, p.store, caller, mutation, key, input)
	if err != nil {
		return err
	}
	l.CreatedAt, l.ID = origin.At, origin.ID(id.Mail)
	if origin.Repeatable() {
		if there, err := p.store.HasMail(ctx, l.ID); err != nil || there {
			return err
		}
	}
	if err := p.throttleMail(ctx, l.Kind, l.To); err != nil {
		if origin.Repeatable() && problem.Is(err, problem.Throttled) && p.equalCallStores(ctx, l.ID) {
			return nil
		}
		return err
	}
	l.NextAt = store.Now()
	if err := p.store.AddMail(ctx, l); err != nil {
		return fmt.Errorf("%s: %w", mutation, err)
	}
	return nil
}

// equalCallLimit is as long as a write to the database may take.
const equalCallLimit = 2 * time.Second

// equalCallStores reports whether a mail comes to be stored within the time that a write takes: equal
// calls at the same time each use the limits of the mail, so that the last of them may be refused while
// the first is about to store it.
func (p *Service) equalCallStores(ctx context.Context, mail id.ID) bool {
	ctx, cancel := context.WithTimeout(ctx, equalCallLimit)
	defer cancel()
	for {
		if there, err := p.store.HasMail(ctx, mail); err != nil || there {
			return there
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}
