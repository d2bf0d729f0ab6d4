#include "lex.h"

#include <cstring>

namespace cudasim {

namespace {

/* Sets of characters, as tables: a module has millions of them to look at. */
struct Characters {
  bool in_word[256] = {};
  bool in_block[256] = {}; /* those that matter to whoever only looks for a block's end */
  constexpr Characters() {
    for (int c = 0; c < 256; c++)
      in_word[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '_' || c == '$' || c == '%' || c == '.';
    for (int c : {'{', '}', '/', '"', '\n'}) in_block[c] = true;
  }
};
constexpr Characters kCharacters;

bool in_word(char c) {
  return kCharacters.in_word[static_cast<unsigned char>(c)];
}

}  // namespace

void Lexer::skip_blanks() {
  for (; at_ < end_; at_++) {
    if (*at_ == '\n') {
      line_++;
    } else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '/') {
      while (at_ + 1 < end_ && at_[1] != '\n') at_++;
    } else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '*') {
      for (at_ += 2; at_ < end_ && !(at_[-1] == '*' && *at_ == '/'); at_++) line_ += *at_ == '\n';
    } else if (*at_ != ' ' && *at_ != '\t' && *at_ != '\r') {
      return;
    }
  }
}

void Lexer::read() {
  skip_blanks();
  token_.line = line_;
  const char *start = at_;
  if (at_ >= end_ || *at_ == '\0') {
    token_.kind = Token::end;
    at_ = end_;
  } else if (*at_ == '"') {
    token_.kind = Token::quoted;
    start = ++at_;
    while (at_ < end_ && *at_ != '"') at_++;
    token_.text = std::string_view(start, at_ - start);
    if (at_ < end_) at_++;
    return;
  } else if (in_word(*at_)) {
    token_.kind = Token::word;
    while (at_ < end_) {
      if (*at_ == '.' && *start == '.' && at_ > start) {
        break; /* ".reg.b16" is two directives */
      } else if (in_word(*at_)) {
        at_++;
      } else if (*at_ == ':' && at_ + 2 < end_ && at_[1] == ':' && in_word(at_[2])) {
        at_ += 2; /* ".L1::no_allocate" is one word, "label:" is two tokens */
      } else {
        break;
      }
    }
  } else {
    token_.kind = Token::mark;
    at_++;
  }
  token_.text = std::string_view(start, at_ - start);
}

bool Lexer::accept(std::string_view expected) {
  if (!token_.is(expected)) return false;
  read();
  return true;
}

void Lexer::expect(std::string_view expected) {
  if (!accept(expected)) fail("expected '" + std::string(expected) + "'");
}

std::string_view Lexer::word(const char *what) {
  if (token_.kind != Token::word) fail(std::string("expected ") + what);
  return next().text;
}

int64_t Lexer::integer(const char *what) {
  bool negative = accept("-");
  uint64_t value;
  if (token_.kind != Token::word || !parse_integer(token_.text, value))
    fail(std::string("expected ") + what);
  read();
  return static_cast<int64_t>(negative ? 0 - value : value);
}

std::string_view Lexer::rest_of_line() {
  const char *start = at_;
  const void *newline = memchr(at_, '\n', end_ - at_);
  at_ = newline ? static_cast<const char *>(newline) : end_;
  std::string_view rest(start, at_ - start);
  read();
  return rest;
}

void Lexer::skip_block() {
  int depth = 1; /* at_ is behind the "{" that peek() shows */
  for (; at_ < end_ && depth > 0; at_++) {
    if (!kCharacters.in_block[static_cast<unsigned char>(*at_)]) continue;
    const char *rest = at_ + 1;
    if (*at_ == '\n') {
      line_++;
    } else if (*at_ == '{') {
      depth++;
    } else if (*at_ == '}') {
      depth--;
    } else if (*at_ == '"') {
      const void *quote = memchr(rest, '"', end_ - rest);
      if (quote) at_ = static_cast<const char *>(quote);
    } else if (rest < end_ && *rest == '/') {
      const void *newline = memchr(rest, '\n', end_ - rest);
      at_ = newline ? static_cast<const char *>(newline) - 1 : end_ - 1;
    }
  }
  if (depth > 0) fail("'{' without its '}'");
  read();
}

void Lexer::fail(const std::string &what) const {
  throw Fault(format("PTX line %d: %s at '%.*s'", token_.line, what.c_str(),
                     static_cast<int>(token_.text.size()), token_.text.data()));
}

bool parse_integer(std::string_view text, uint64_t &value) {
  if (!text.empty() && text.back() == 'U') text.remove_suffix(1);
  unsigned base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 2 && text[0] == '0' && (text[1] == 'b' || text[1] == 'B')) {
    base = 2;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  if (text.empty()) return false;
  value = 0;
  for (char c : text) {
    unsigned digit = c >= '0' && c <= '9'   ? c - '0'
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10
                     : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                            : 99;
    if (digit >= base) return false;
    value = value * base + digit;
  }
  return true;
}

}  // namespace cudasim
