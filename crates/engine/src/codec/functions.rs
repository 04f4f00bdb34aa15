//! Functions travel by name, with a mark that says whose they are: DataFusion and Spark have functions of one name
//! that do not mean the same.

use std::{any::Any, collections::HashMap, sync::Arc};

use datafusion::{
    common::{Result, plan_err},
    config::ConfigOptions,
    functions, functions_aggregate, functions_nested, functions_window,
    logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF},
};

const DATAFUSION: u8 = 0;
const OURS: u8 = 1;

/// All functions that a plan may call.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    scalar: Table<ScalarUDF>,
    aggregate: Table<AggregateUDF>,
    window: Table<WindowUDF>,
    higher_order: Table<HigherOrderUDF>,
}

/// DataFusion's and ours, by name.
#[derive(Debug, Clone)]
struct Table<F> {
    datafusion: HashMap<String, Arc<F>>,
    ours: HashMap<String, Arc<F>>,
}

impl<F> Default for Table<F> {
    fn default() -> Self {
        Self { datafusion: HashMap::new(), ours: HashMap::new() }
    }
}

impl Functions {
    /// DataFusion's own.
    pub fn datafusion() -> Self {
        let mut new = Self::default();
        let scalar =
            functions::all_default_functions().into_iter().chain(functions_nested::all_default_nested_functions());
        new.scalar.datafusion.extend(scalar.map(|f| (f.name().to_owned(), f)));
        let aggregate = functions_aggregate::all_default_aggregate_functions();
        new.aggregate.datafusion.extend(aggregate.into_iter().map(|f| (f.name().to_owned(), f)));
        let window = functions_window::all_default_window_functions();
        new.window.datafusion.extend(window.into_iter().map(|f| (f.name().to_owned(), f)));
        new
    }

    pub fn with_scalar(mut self, ours: impl IntoIterator<Item = Arc<ScalarUDF>>) -> Self {
        self.scalar.ours.extend(ours.into_iter().map(|f| (f.name().to_owned(), f)));
        self
    }

    pub fn with_aggregate(mut self, ours: impl IntoIterator<Item = Arc<AggregateUDF>>) -> Self {
        self.aggregate.ours.extend(ours.into_iter().map(|f| (f.name().to_owned(), f)));
        self
    }

    pub fn with_window(mut self, ours: impl IntoIterator<Item = Arc<WindowUDF>>) -> Self {
        self.window.ours.extend(ours.into_iter().map(|f| (f.name().to_owned(), f)));
        self
    }

    /// DataFusion's own are called by no plan here.
    pub fn with_higher_order(mut self, ours: impl IntoIterator<Item = Arc<HigherOrderUDF>>) -> Self {
        self.higher_order.ours.extend(ours.into_iter().map(|f| (f.name().to_owned(), f)));
        self
    }

    pub fn encode_higher_order(&self, function: &HigherOrderUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.higher_order.encode(function.name(), function, |_, _| false, buf)
    }

    pub fn decode_higher_order(&self, name: &str, buf: &[u8]) -> Result<Arc<HigherOrderUDF>> {
        self.higher_order.decode(name, buf)
    }

    pub fn encode_scalar(&self, function: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        let same_type = |a: &ScalarUDF, b: &ScalarUDF| {
            (a.inner().as_ref() as &dyn Any).type_id() == (b.inner().as_ref() as &dyn Any).type_id()
        };
        self.scalar.encode(function.name(), function, same_type, buf)
    }

    /// Under the task's `config`, as far as the function reads one.
    pub fn decode_scalar(&self, name: &str, buf: &[u8], config: Option<&ConfigOptions>) -> Result<Arc<ScalarUDF>> {
        let function = self.scalar.decode(name, buf)?;
        let configured = config.and_then(|config| function.inner().with_updated_config(config));
        Ok(configured.map_or(function, Arc::new))
    }

    pub fn encode_aggregate(&self, function: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        let same_type = |a: &AggregateUDF, b: &AggregateUDF| {
            (a.inner().as_ref() as &dyn Any).type_id() == (b.inner().as_ref() as &dyn Any).type_id()
        };
        self.aggregate.encode(function.name(), function, same_type, buf)
    }

    pub fn decode_aggregate(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.aggregate.decode(name, buf)
    }

    pub fn encode_window(&self, function: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        let same_type = |a: &WindowUDF, b: &WindowUDF| {
            (a.inner().as_ref() as &dyn Any).type_id() == (b.inner().as_ref() as &dyn Any).type_id()
        };
        self.window.encode(function.name(), function, same_type, buf)
    }

    pub fn decode_window(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.window.decode(name, buf)
    }
}

impl<F: PartialEq> Table<F> {
    /// Marks whose `function` is. One of ours must equal the registered one, since only its name travels; DataFusion's
    /// may differ in what they took from the configuration, which they take again where they are decoded.
    fn encode(&self, name: &str, function: &F, same_type: impl Fn(&F, &F) -> bool, buf: &mut Vec<u8>) -> Result<()> {
        let (ours, theirs) = (self.ours.get(name), self.datafusion.get(name));
        if ours.is_some_and(|f| **f == *function) {
            buf.push(OURS);
        } else if theirs.is_some_and(|f| **f == *function || same_type(f, function)) {
            buf.push(DATAFUSION);
        } else if ours.is_some_and(|f| same_type(f, function)) {
            return plan_err!(
                "function {name} has settings that are not part of its name and cannot be sent to executors"
            );
        } else {
            return plan_err!("function {name} is not registered and cannot be sent to executors");
        }
        Ok(())
    }

    fn decode(&self, name: &str, buf: &[u8]) -> Result<Arc<F>> {
        let found = match buf {
            [OURS] => self.ours.get(name),
            [DATAFUSION] => self.datafusion.get(name),
            [] => self.ours.get(name).or_else(|| self.datafusion.get(name)),
            _ => None,
        };
        match found {
            Some(function) => Ok(function.clone()),
            None => plan_err!("function {name} is not known to this executor"),
        }
    }
}
