/* PTX text as tokens (PTX ISA 4.1). */
#ifndef CUDASIM_LEX_H
#define CUDASIM_LEX_H

#include <cstdint>
#include <string>
#include <string_view>

#include "fault.h"

namespace cudasim {

struct Token {
  /* A word is an identifier, a directive, a dotted opcode or a number: "%r1", ".reg",
   * "ld.global.u32", "0f3F80". */
  enum Kind { end, word, quoted, mark } kind = end;
  std::string_view text;
  int line = 0;

  bool is(std::string_view expected) const {
    return kind != quoted && text == expected;
  }
};

class Lexer {
 public:
  /* `line` is the number of the text's first line, for messages. */
  explicit Lexer(std::string_view text, int line = 1)
      : at_(text.data()), end_(at_ + text.size()), line_(line) {
    read();
  }

  const Token &peek() const {
    return token_;
  }
  Token next() {
    Token token = token_;
    read();
    return token;
  }
  bool accept(std::string_view expected);
  void expect(std::string_view expected);
  std::string_view word(const char *what); /* the next token, which has to be a word */
  int64_t integer(const char *what);       /* with an optional sign */

  /* What follows the token that peek() shows. Both leave the token after what they skipped in
   * peek(). */
  std::string_view rest_of_line();
  void skip_block(); /* peek() is "{": to behind its "}". Much faster than tokens. */

  /* How many characters there are from a token's first one on. */
  size_t left(const Token &token) const {
    return end_ - token.text.data();
  }
  const char *position() const {
    return token_.text.data();
  }
  [[noreturn]] void fail(const std::string &what) const;

 private:
  void read();
  void skip_blanks();

  const char *at_, *end_;
  int line_;
  Token token_;
};

/* An unsigned integer: decimal, 0x, 0b or octal, with an optional U. False if it is none. */
bool parse_integer(std::string_view text, uint64_t &value);

}  // namespace cudasim

#endif
