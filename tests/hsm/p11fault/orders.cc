#include "tests/hsm/p11fault/orders.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace kekd::p11fault {
namespace {

// The words of one line, taken from the front. What is missing or wrong is told by `error`.
class Line final {
 public:
  explicit Line(const std::string& text) {
    std::istringstream words(text.substr(0, text.find('#')));
    for (std::string word; words >> word;) words_.push_back(word);
  }

  bool empty() const { return at_ == words_.size(); }

  bool Take(const std::string& word) {
    if (empty() || words_[at_] != word) return false;
    ++at_;
    return true;
  }

  std::string Next(const char* what) {
    if (!empty()) return words_[at_++];
    Fail(std::string(what) + " is missing");
    return "";
  }

  uint64_t NextNumber(const char* what) {
    const std::string word = Next(what);
    const std::optional<uint64_t> number = Number(word);
    if (!number.has_value()) Fail(std::string(what) + " is no number: '" + word + "'");
    return number.value_or(0);
  }

  std::optional<uint64_t> MaybeNumber() {
    if (empty()) return std::nullopt;
    const std::optional<uint64_t> number = Number(words_[at_]);
    if (number.has_value()) ++at_;
    return number;
  }

  template <typename Value>
  Value NextNamed(const char* what, std::optional<Value> (*by_name)(const std::string&)) {
    const std::string word = Next(what);
    const std::optional<Value> value = by_name(word);
    if (!value.has_value()) Fail(std::string(what) + " is not known: '" + word + "'");
    return value.value_or(Value());
  }

  // And all is well so far.
  bool HasMore() const { return !empty() && error_.empty(); }

  void Fail(const std::string& why) {
    if (error_.empty()) error_ = why;
  }
  // Also what is left over is an error.
  std::string Finish() {
    if (!empty()) Fail("'" + words_[at_] + "' is not understood");
    return error_;
  }

 private:
  std::vector<std::string> words_;
  size_t at_ = 0;
  std::string error_;
};

void ParseAction(Line& line, Order& order) {
  if (line.Take("return")) {
    order.action = Action::kReturn;
    order.value = line.NextNamed("the CK_RV", ReturnValueByName);
  } else if (line.Take("return-after")) {
    order.action = Action::kReturnAfter;
    order.value = line.NextNamed("the CK_RV", ReturnValueByName);
  } else if (line.Take("sessions-killed")) {
    order.action = Action::kKillSessions;
  } else if (line.Take("hang")) {
    order.action = Action::kHang;
    order.value = line.MaybeNumber().value_or(0);
  } else if (line.Take("delay")) {
    order.action = Action::kDelay;
    order.value = line.NextNumber("the number of microseconds");
    order.times = 0;
  } else if (line.Take("crash")) {
    order.action = Action::kCrash;
  } else if (line.Take("abort")) {
    order.action = Action::kAbort;
  } else if (line.Take("exit")) {
    order.action = Action::kExit;
    order.value = line.NextNumber("the exit code");
  } else {
    line.Fail("'" + line.Next("what is to be done") + "' is nothing that can be done");
  }
}

// After the function's name: [at N] ACTION [times K | always] [as NAME] [in-all].
Order ParseOrder(Line& line, const std::string& text) {
  Order order;
  order.identity = text;
  if (line.Take("at")) order.at = std::max<uint64_t>(1, line.NextNumber("after 'at'"));
  ParseAction(line, order);
  if (line.Take("always")) {
    order.times = 0;
  } else if (line.Take("times")) {
    order.times = std::max<uint64_t>(1, line.NextNumber("after 'times'"));
  }
  if (line.Take("as")) {
    order.name = line.Next("the order's name");
    order.identity = "as " + order.name;
    if (order.name.find('/') != std::string::npos) line.Fail("a name has no '/'");
  }
  if (line.Take("in-all")) {
    order.in_all = true;
    if (order.name.empty()) line.Fail("what is counted in all needs a name ('as NAME')");
  }
  return order;
}

bool ParseTokenFlag(Line& line, Orders& orders) {
  static const std::map<std::string, CK_FLAGS> kFlags = {
      {"pin-count-low", CKF_USER_PIN_COUNT_LOW},
      {"pin-final-try", CKF_USER_PIN_FINAL_TRY},
      {"pin-locked", CKF_USER_PIN_LOCKED},
      {"pin-to-be-changed", CKF_USER_PIN_TO_BE_CHANGED},
  };
  for (const auto& [name, flag] : kFlags) {
    if (!line.Take(name)) continue;
    orders.token_flags |= flag;
    return true;
  }
  return false;
}

// After "mask-mechanism": CKM_… [CKM_… …] [in FUNCTION [FUNCTION …]].
Mask ParseMask(Line& line) {
  Mask mask;
  bool in_some = false;
  do {
    mask.mechanisms.push_back(line.NextNamed("the mechanism", MechanismByName));
    in_some = line.Take("in");
  } while (!in_some && line.HasMore());
  if (!in_some) return mask;
  do {
    mask.functions.push_back(line.NextNamed("the function", FunctionByName));
  } while (line.HasMore());
  return mask;
}

void ParseLine(Line& line, const std::string& text, Orders& orders) {
  if (line.Take("module")) {
    orders.module = line.Next("the module's path");
  } else if (line.Take("token-gone")) {
    orders.token_gone = true;
    orders.until_reinit = line.Take("until-reinit");
  } else if (line.Take("renumber")) {
    orders.renumber = true;
  } else if (line.Take("max-sessions")) {
    orders.max_sessions = line.NextNumber("the number of sessions");
    orders.max_sessions_told = !line.Take("not-told");
  } else if (line.Take("mask-mechanism")) {
    orders.masks.push_back(ParseMask(line));
  } else if (line.Take("only-2.40")) {
    orders.only_2_40 = true;
  } else if (line.Take("gcm-iv")) {
    if (line.Take("token")) {
      orders.gcm_iv = GcmIv::kToken;
    } else if (line.Take("token-appended")) {
      orders.gcm_iv = GcmIv::kTokenAppended;
    } else if (!line.Take("caller")) {
      line.Fail("gcm-iv is 'caller', 'token' or 'token-appended'");
    }
    orders.gcm_iv_repeats = line.Take("repeats");
  } else if (line.Take("attribute")) {
    SaidAttribute said;
    said.type = line.NextNumber("the attribute's number");
    if (line.Take("yes")) {
      said.value = true;
    } else if (line.Take("no")) {
      said.value = false;
    } else if (!line.Take("not-told")) {
      line.Fail("an attribute is 'yes', 'no' or 'not-told'");
    }
    orders.attributes.push_back(said);
  } else if (line.Take("mechanism-count")) {
    orders.mechanism_count = line.NextNumber("the number of mechanisms");
  } else if (line.Take("no-function")) {
    orders.missing.push_back(line.NextNamed("the function", FunctionByName));
  } else if (!ParseTokenFlag(line, orders)) {
    const std::string name = line.Next("the order");
    Order order;
    if (name == "*") {
      order = ParseOrder(line, text);
    } else if (const std::optional<Function> function = FunctionByName(name)) {
      order = ParseOrder(line, text);
      order.function = function;
    } else {
      line.Fail("'" + name + "' is neither an order nor a function");
    }
    orders.orders.push_back(std::move(order));
  }
}

}  // namespace

bool Orders::IsMasked(CK_MECHANISM_TYPE mechanism, Function function) const {
  const auto has = [](const auto& all, auto one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  return std::any_of(masks.begin(), masks.end(), [&](const Mask& mask) {
    return has(mask.mechanisms, mechanism) &&
           (mask.functions.empty() || has(mask.functions, function));
  });
}

ParsedOrders Parse(const std::string& text) {
  ParsedOrders parsed;
  std::map<std::string, int> seen;
  std::istringstream lines(text);
  int number = 0;
  for (std::string words; std::getline(lines, words);) {
    ++number;
    Line line(words);
    if (line.empty()) continue;
    ParseLine(line, words, parsed.orders);
    const std::string error = line.Finish();
    if (!error.empty()) {
      parsed.error = "line " + std::to_string(number) + ": " + error;
      return parsed;
    }
  }
  for (Order& order : parsed.orders.orders) {
    const int before = seen[order.identity]++;
    if (before == 0) continue;
    if (!order.name.empty()) {
      parsed.error = "two orders have the name '" + order.name + "'";
      return parsed;
    }
    order.identity += " (" + std::to_string(before) + ")";
  }
  if (parsed.orders.module.empty()) parsed.error = "there is no line 'module PATH'";
  return parsed;
}

}  // namespace kekd::p11fault
