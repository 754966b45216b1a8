//! Return guards, with the exact words that each mistake gets.

use expect_test::expect;

use super::check;

#[test]
fn a_guard_shuts_out_neither_the_agent_nor_who_mends_the_server() {
    check(
        "database = \"orders\"",
        "database = \"orders\"\nguard = { logins = [\"shop\", \"EYE\", \"sa\"] }",
        &expect![[r#"
            agent.toml:27:29: links[0].guard.logins[1]: EYE is how the agent, or who mends the server, gets in
              right: logins of applications only
            agent.toml:27:36: links[0].guard.logins[2]: sa is how the agent, or who mends the server, gets in
              right: logins of applications only"#]],
    );
    check(
        "database = \"orders\"",
        "database = \"orders\"\nguard = { on = false, logins = [\"shop\"] }",
        &expect![[r#"
            agent.toml:27:23: links[0].guard.logins: they are never disabled while `on` is false
              right: `on = true`, or no logins"#]],
    );
}
