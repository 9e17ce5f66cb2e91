pub fn load(){}
