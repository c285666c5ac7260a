//! Makes a plan that ends in a difference smaller, for somebody to read.

use super::run::{Difference, Plan};

/// Runs that are spent on it.
const TRIALS: usize = 250;

struct Shrinking {
    plan: Plan,
    difference: Difference,
    trials: usize,
}

pub async fn shrink(plan: Plan, difference: Difference) -> Difference {
    let mut shrinking = Shrinking { plan, difference, trials: 0 };
    shrinking.cut_the_end();
    shrinking.keep_one_read().await;
    shrinking.drop_steps().await;
    shrinking.drop_constraints().await;
    shrinking.drop_rows().await;
    shrinking.make_steps_smaller().await;
    shrinking.drop_steps().await;
    shrinking.difference
}

impl Shrinking {
    /// Takes the plan if it still ends in a difference.
    async fn accept(&mut self, plan: Plan) -> bool {
        if self.trials == TRIALS {
            return false;
        }
        self.trials += 1;
        let Some(Err(difference)) = plan.run().await else { return false };
        (self.plan, self.difference) = (plan, *difference);
        self.cut_the_end();
        true
    }

    fn cut_the_end(&mut self) {
        self.plan.steps.truncate(self.difference.step + 1);
    }

    async fn keep_one_read(&mut self) {
        let mut plan = self.plan.clone();
        plan.pool = vec![self.difference.read.clone()];
        plan.steps.iter_mut().for_each(|planned| planned.swap = None);
        self.accept(plan).await;
    }

    /// Half of them at once at first, then fewer.
    async fn drop_steps(&mut self) {
        let mut size = self.plan.steps.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < self.plan.steps.len() {
                let mut plan = self.plan.clone();
                plan.steps.drain(start..(start + size).min(plan.steps.len()));
                if !self.accept(plan).await {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    async fn drop_constraints(&mut self) {
        let mut schemas = self.plan.schema.smaller();
        while let Some(schema) = schemas.pop() {
            let plan = Plan { schema, ..self.plan.clone() };
            if self.accept(plan).await {
                schemas = self.plan.schema.smaller();
            }
        }
    }

    async fn drop_rows(&mut self) {
        let mut size = self.plan.first_rows.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < self.plan.first_rows.len() {
                let mut plan = self.plan.clone();
                plan.first_rows.drain(start..(start + size).min(plan.first_rows.len()));
                if !self.accept(plan).await {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    async fn make_steps_smaller(&mut self) {
        let mut position = 0;
        while let Some(planned) = self.plan.steps.get(position).cloned() {
            let mut smaller = false;
            for step in planned.step.smaller() {
                let mut plan = self.plan.clone();
                plan.steps[position].step = step;
                smaller = self.accept(plan).await;
                if smaller {
                    break;
                }
            }
            if !smaller {
                position += 1;
            }
        }
    }
}
