package account

import (
	"context"

	"stoa/access"
	"stoa/account/email"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// NewPassword replaces a password that is known.
type NewPassword struct{ CurrentPassword, NewPassword string }

// ChangePassword sets the viewer's password. Every session of the account ends; the
// viewer's goes on as a new one, with another token, by the way it came.
func (p *People) ChangePassword(ctx context.Context, in NewPassword) (Signed, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return Signed{}, err
	}
	secret, err := p.confirm(ctx, v.Account, in.CurrentPassword)
	if err != nil {
		return Signed{}, at(err, "currentPassword")
	}
	hash, err := p.newHash(ctx, in.NewPassword, secret)
	if err != nil {
		return Signed{}, at(err, "newPassword")
	}
	changed, err := p.setPassword(ctx, v.Account, secret.Epoch, hash)
	if err != nil {
		return Signed{}, err
	}
	delivery := ByToken
	if access.ByCookie(ctx) {
		delivery = ByCookie
	}
	return p.begin(ctx, changed, delivery, newSession())
}

// setPassword sets the password of an account whose epoch is still the one given, and so
// ends its sessions and its codes.
func (p *People) setPassword(ctx context.Context, account id.ID, epoch int64, hash string) (*store.Account, error) {
	changed, err := p.change(ctx, account, func(s *store.Secret) error {
		if s.Epoch != epoch {
			return problem.New(problem.Conflict, "the password has been changed in the meantime")
		}
		s.PasswordHash = hash
		s.Epoch++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changed, p.notify(ctx, &store.Letter{Kind: store.PasswordNotice, To: changed.Email, Name: changed.Name})
}

// newHash checks a new password of an account and hashes it.
func (p *People) newHash(ctx context.Context, secret string, of *store.Secret) (string, error) {
	if err := p.checkPassword(secret, of.Email, of.Name); err != nil {
		return "", err
	}
	return p.hasher.Hash(ctx, secret)
}

// confirm returns the account with what it is recognised by, if secret is its password;
// Credentials if it isn't, Throttled when it was tried too often.
func (p *People) confirm(ctx context.Context, account id.ID, secret string) (*store.Secret, error) {
	there, err := p.store.SecretOf(ctx, account)
	if err != nil {
		return nil, err
	}
	if err := p.throttleLogin(ctx, there.Email); err != nil {
		return nil, err
	}
	ok, err := p.matches(ctx, secret, there)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem.New(problem.Credentials, "this isn't the account's password")
	}
	p.forgive(ctx, there.Email)
	return there, nil
}

// matches says whether secret is the password of an account, which may be nil. It takes as
// long when there is no account, or none that a password opens.
func (p *People) matches(ctx context.Context, secret string, of *store.Secret) (bool, error) {
	if of == nil || of.PasswordHash == "" {
		return false, p.hasher.Pretend(ctx, secret)
	}
	ok, rehash, err := p.hasher.Verify(ctx, secret, of.PasswordHash)
	if err != nil || !ok || !rehash {
		return ok, err
	}
	hash, err := p.hasher.Hash(ctx, secret)
	if err != nil {
		return true, nil // the next time
	}
	after := *of
	after.PasswordHash = hash
	if err := p.store.ChangeAccount(ctx, of, &after); err != nil && !problem.Is(err, problem.Conflict) {
		p.log.Warn("a password can't be hashed anew for now", "account", of.ID, "error", err)
	} else if err == nil {
		*of = after
	}
	return true, nil
}

// ResetRequest asks for a new password.
type ResetRequest struct {
	Email          string
	IdempotencyKey *string
}

// RequestReset has a mail sent to the address that lets the password be set, or says that
// there is no account. The caller can't tell which.
func (p *People) RequestReset(ctx context.Context, in ResetRequest) error {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return at(err, "email")
	}
	if err := p.throttleMail(ctx, address); err != nil {
		return err
	}
	return p.write(ctx, "reset/"+address, "passwordResetRequest", in.IdempotencyKey, []string{address}, &store.Letter{Kind: store.ResetLetter, To: address})
}

// Reset sets a password by a code.
type Reset struct{ Token, Password string }

// Reset sets the password of the account that a code was sent for, which ends its sessions
// and makes every other code of it worthless.
func (p *People) Reset(ctx context.Context, in Reset) error {
	code, err := p.code(ctx, store.ResetCode, in.Token)
	if err != nil {
		return err
	}
	there, err := p.store.SecretOf(ctx, code.AccountID)
	if problem.Is(err, problem.NotFound) || err == nil && there.Epoch != code.Epoch {
		return invalidToken()
	}
	if err != nil {
		return err
	}
	hash, err := p.newHash(ctx, in.Password, there)
	if err != nil {
		return at(err, "password")
	}
	if _, err = p.setPassword(ctx, there.ID, code.Epoch, hash); problem.Is(err, problem.Conflict) {
		return invalidToken()
	} else if err != nil {
		return err
	}
	_, err = p.store.DeleteCode(ctx, code.Hash)
	return err
}

// EmailRequest asks for another address.
type EmailRequest struct {
	Email          string
	Password       string
	IdempotencyKey *string
}

// RequestEmail has a mail sent to the new address of the viewer's account, which confirms
// it, or says that it has an account already. The caller can't tell which.
func (p *People) RequestEmail(ctx context.Context, in EmailRequest) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	address, err := email.Canonical(in.Email)
	if err != nil {
		return at(err, "email")
	}
	there, err := p.confirm(ctx, v.Account, in.Password)
	if err != nil {
		return at(err, "password")
	}
	if err := p.throttleMail(ctx, address); err != nil {
		return err
	}
	return p.write(ctx, string(v.Account), "emailChangeRequest", in.IdempotencyKey, []string{address}, &store.Letter{
		Kind: store.EmailLetter, To: address, Name: there.Name, AccountID: v.Account, Epoch: there.Epoch,
	})
}

// ConfirmEmail gives an account the address that a code was sent to, and tells the old one.
func (p *People) ConfirmEmail(ctx context.Context, in Coming) (*store.Account, error) {
	code, err := p.code(ctx, store.EmailCode, in.Token)
	if err != nil {
		return nil, err
	}
	old := ""
	changed, err := p.change(ctx, code.AccountID, func(s *store.Secret) error {
		if s.Epoch != code.Epoch {
			return invalidToken()
		}
		old, s.Email = s.Email, code.Email
		return nil
	})
	if problem.Is(err, problem.NotFound) {
		return nil, invalidToken()
	}
	if err != nil {
		return nil, err
	}
	if old != changed.Email {
		notice := &store.Letter{Kind: store.EmailNotice, To: old, Name: changed.Name, Other: changed.Email}
		if err := p.notify(ctx, notice); err != nil {
			return nil, err
		}
	}
	_, err = p.store.DeleteCode(ctx, code.Hash)
	return changed, err
}

// notify stores a letter that tells somebody what has happened.
func (p *People) notify(ctx context.Context, l *store.Letter) error {
	l.CreatedAt = now()
	l.NextAt, l.ID = l.CreatedAt, id.At(id.Letter, l.CreatedAt)
	return p.store.AddLetter(ctx, l)
}
