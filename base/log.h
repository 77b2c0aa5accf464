// The log: one line an event, to standard error.
#ifndef KEKD_BASE_LOG_H_
#define KEKD_BASE_LOG_H_

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace kekd {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// A field of an event. Never a secret; a value from a peer is escaped by the log.
struct LogField {
  template <typename T>
  LogField(absl::string_view name_in, const T& value_in)
      : name(name_in), value(absl::StrCat(value_in)) {}

  absl::string_view name;
  std::string value;
};

// Sets what is logged and how, for the whole process. Before the first call: info, text.
void ConfigureLog(LogLevel level, LogFormat format);
// Whether an event of this level would be written (to spare making its fields).
bool LogEnabled(LogLevel level);
// Writes "time level event name=value …", or the same as a JSON object. Thread-safe.
void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields = {});

inline void LogDebug(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, event, fields);
}
inline void LogWarning(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, event, fields);
}
inline void LogError(absl::string_view event, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, event, fields);
}

}  // namespace kekd

#endif  // KEKD_BASE_LOG_H_
